/* SPDX-License-Identifier: Apache-2.0 */
/* What `tcpx nixl` found and did, for people. */
#include "nixl.h"

#include "common/wrap.h"

#include <stdio.h>
#include <string.h>

#define INDENT 13

static const char *text_of(const json_t *object, const char *key,
			   const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : otherwise;
}

static void print_line(const char *what, const char *text)
{
	if (strlen(text) <= TEXT_COLUMNS - INDENT) {
		printf("  %-10s %s\n", what, text);
		return;
	}
	printf("  %s\n", what);
	text_wrap(stdout, INDENT, INDENT, text);
}

static void print_plugin(const json_t *entry)
{
	const char *by = text_of(entry, "by", "");
	char line[256];

	if (!json_is_true(json_object_get(entry, "installed"))) {
		print_line("plugin", "none");
		return;
	}
	snprintf(line, sizeof(line), "%s, %s%s%s%s",
		 text_of(entry, "plugin_version", "of unknown version"),
		 !strcmp(by, "tcpx")  ? "put there by tcpx nixl install" :
		 !strcmp(by, "wheel") ? "from the wheel " :
					"not put there by this command",
		 text_of(entry, "wheel", ""),
		 json_is_true(json_object_get(entry, "changed")) ?
			 ", changed since" :
			 "",
		 json_is_false(json_object_get(entry, "current")) ?
			 "; not the one at hand" :
			 "");
	print_line("plugin", line);
}

static void print_loads(const json_t *entry)
{
	const json_t *loads = json_object_get(entry, "loads"), *one;
	char line[256] = "yes:";
	size_t i;

	if (json_is_null(loads)) {
		if (*text_of(entry, "load_error", ""))
			print_line("loads", text_of(entry, "load_error", ""));
		return;
	}
	if (!json_is_true(loads)) {
		print_line("loads", "no:");
		text_wrap(stdout, INDENT, INDENT,
			  text_of(entry, "load_error", "?"));
		return;
	}
	json_array_foreach(json_object_get(entry, "memories"), i, one)
		snprintf(line + strlen(line), sizeof(line) - strlen(line),
			 "%s %s", i ? "," : "", json_string_value(one));
	print_line("loads", line);
}

static void print_entry(const json_t *entry)
{
	const json_t *supported = json_object_get(entry, "supported");

	printf("NIXL %s%s%s%s\n", text_of(entry, "nixl", "of unknown version"),
	       text_of(entry, "package", NULL) ? " (" : "",
	       text_of(entry, "package", ""),
	       text_of(entry, "package", NULL) ? ")" : "");
	if (text_of(entry, "done", NULL))
		print_line("done", text_of(entry, "done", ""));
	if (text_of(entry, "why", NULL))
		print_line("not done:", text_of(entry, "why", ""));
	print_line("looks in", text_of(entry, "plugin_dir", "?"));
	print_line("supported", json_is_null(supported) ? "unknown" :
				json_is_true(supported) ? "yes" :
							  "no: " NIXL_OLDEST
							  " to " NIXL_NEWEST
							  " are");
	if (strcmp(text_of(entry, "backend", NIXL_BACKEND), NIXL_BACKEND))
		print_line("backend", text_of(entry, "backend", ""));
	print_plugin(entry);
	print_loads(entry);
}

void nixl_show(const json_t *all)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(all, "installations"), i, entry)
	{
		if (i)
			putchar('\n');
		print_entry(entry);
	}
}
