/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "common/size.h"
#include "common/wrap.h"
#include "open.h"

#include <jansson.h>
#include <stdio.h>
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
	       "variable has a bad value: what is wrong is said, and the "
	       "rest shown.\n",
};

static int config_text(void *arg, char *buf, size_t cap_bytes,
		       size_t *len_bytes)
{
	return tcpx_config_json(arg, buf, cap_bytes, len_bytes);
}

static const char *text_of(const json_t *setting, const char *key)
{
	const char *text = json_string_value(json_object_get(setting, key));

	return text ? text : "";
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

/* A value of any kind as people write it. */
static const char *cell(const json_t *setting, const char *key, char *buf,
			size_t cap_bytes)
{
	const json_t *value = json_object_get(setting, key);
	const char *name = json_string_value(json_object_get(setting, "name"));
	long long n = json_integer_value(value);

	snprintf(buf, cap_bytes, "not set");
	if (json_string_length(value))
		snprintf(buf, cap_bytes, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, cap_bytes, json_is_true(value) ? "on" : "off");
	else if (json_is_integer(value) && name && ends_with(name, "_bytes"))
		size_format((uint64_t)n, buf, cap_bytes);
	else if (json_is_integer(value))
		snprintf(buf, cap_bytes, "%lld", n);
	return buf;
}

/* The value, and what an automatic one comes to: "0 (2 here)". */
static const char *value_cell(const json_t *setting, char *buf,
			      size_t cap_bytes)
{
	char here[32];
	size_t n;

	cell(setting, "value", buf, cap_bytes);
	if (json_is_integer(json_object_get(setting, "here"))) {
		n = strlen(buf);
		snprintf(buf + n, cap_bytes - n, " (%s here)",
			 cell(setting, "here", here, sizeof(here)));
	}
	return buf;
}

/* "environment", and by which variable if that is not its own; what a program
 * says is here what the command line says. */
static void print_source(const json_t *setting)
{
	const char *source = text_of(setting, "source");
	const char *from = text_of(setting, "from");

	printf("%-11s ", strcmp(source, "program") ? source : "option");
	fputs(text_of(setting, "variable"), stdout);
	if (*from && strcmp(from, text_of(setting, "variable")))
		printf("\n%*sset by its older name %s", 4, "", from);
	putchar('\n');
}

/* Two lines and more: what it is, and what it is for. */
static void print_setting(const json_t *setting)
{
	char text[1100], def[256], allowed[256], help[256];

	printf("%-20s ", cell(setting, "name", text, sizeof(text)));
	printf("%-15s ", value_cell(setting, text, sizeof(text)));
	print_source(setting);
	snprintf(text, sizeof(text), "%s (default %s; allowed: %s)",
		 cell(setting, "help", help, sizeof(help)),
		 cell(setting, "default", def, sizeof(def)),
		 cell(setting, "allowed", allowed, sizeof(allowed)));
	text_wrap(stdout, 4, 4, text);
}

static void print_settings(const json_t *settings)
{
	const json_t *one;
	size_t i;

	printf("%-20s %-15s %-11s %s\n", "setting", "value", "from",
	       "variable");
	json_array_foreach(settings, i, one) print_setting(one);
}

int cmd_config(int argc, char **argv)
{
	struct listing_options arguments = {0};
	struct tcpx_config config;
	json_t *settings, *all;
	int status;

	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	status = options_config(&arguments.session, &config);
	settings = json_from_library("the configuration", config_text, &config);
	if (!settings)
		return EXIT_SETUP;
	all = json_pack("{so}", "settings", settings);
	if (arguments.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_settings(settings);
	}
	json_decref(all);
	return status ? EXIT_SETUP : EXIT_HELD;
}
