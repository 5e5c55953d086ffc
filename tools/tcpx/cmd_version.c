/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <tcpx/p2p.h>

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != 'j')
		return ARGP_ERR_UNKNOWN;
	*(bool *)state->input = true;
	return 0;
}

static const struct argp_option option_table[] = {
	{"json", 'j', NULL, 0, "as a JSON object", 0},
	{0},
};
static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.doc = "Prints the version of the library in use."
	       "\vExamples:\n  tcpx version\n  tcpx version --json\n\n"
	       "Exit status: 0, or 2 if the command line is wrong.",
};

int cmd_version(int argc, char **argv)
{
	bool json = false;

	argp_parse(&parser, argc, argv, 0, NULL, &json);
	if (json)
		printf("{\"version\": \"%s\"}\n", tcpx_version());
	else
		printf("tcpx %s\n", tcpx_version());
	return EXIT_HELD;
}
