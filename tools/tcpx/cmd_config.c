/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "open.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct argp_option option_table[] = {
	{"json", 'j', NULL, 0, "as a JSON object", 0},
	{0},
};
static const struct argp parser = {
	.options = option_table,
	.parser = listing_parse,
	.children = listing_children,
	.doc = "Prints every setting in force: its value, where that is from, "
	       "its variable, default and what is allowed."
	       "\v"
	       "Examples:\n"
	       "  tcpx config\n"
	       "  TCPX_FLOWS=4 tcpx config --json\n\n"
	       "Exit status: 0 all good, 2 the command line is wrong, 3 a "
	       "variable has a bad value.\n",
};

static int config_text(void *arg, char *buf, size_t cap_bytes,
		       size_t *len_bytes)
{
	return tcpx_config_json(arg, buf, cap_bytes, len_bytes);
}

/* A value of any kind as text; the caller frees it. */
static char *cell(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	char *text;

	if (json_is_string(value) && !json_string_length(value))
		return strdup("-");
	if (json_is_string(value))
		return strdup(json_string_value(value));
	text = value && !json_is_null(value) ?
		       json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) :
		       NULL;
	return text ? text : strdup("-");
}

static void print_row(const json_t *setting)
{
	static const struct {
		const char *key;
		int columns;
	} columns[] = {{"name", 20},	{"value", 12},	  {"source", 12},
		       {"default", 10}, {"variable", 24}, {"allowed", 0}};
	char *text;

	for (unsigned i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		text = cell(setting, columns[i].key);
		printf("%-*s ", columns[i].columns, text ? text : "");
		free(text);
	}
	text = cell(setting, "help");
	printf("\n    %s\n", text ? text : "");
	free(text);
}

static void print_table(const json_t *settings)
{
	const json_t *one;
	size_t i;

	printf("%-20s %-12s %-12s %-10s %-24s %s\n", "setting", "value",
	       "source", "default", "variable", "allowed");
	json_array_foreach(settings, i, one) print_row(one);
}

int cmd_config(int argc, char **argv)
{
	struct listing_options arguments = {0};
	struct tcpx_config config;
	json_t *settings, *all;

	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	if (options_config(&arguments.session, &config))
		return EXIT_SETUP;
	settings = json_from_library("the configuration", config_text, &config);
	if (!settings)
		return EXIT_SETUP;
	all = json_pack("{so}", "settings", settings);
	if (arguments.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_table(settings);
	}
	json_decref(all);
	return EXIT_HELD;
}
