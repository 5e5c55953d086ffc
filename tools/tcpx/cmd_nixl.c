/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "nixl.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>

#define TRY_WAIT_MS 60000

struct arguments {
	const char *action;
	const char *library, *backend; /* of _try */
	const char *as;
	const char *python;
	const char *dir;
	const char *plugin;
	unsigned deadline_ms;
	bool force;
	bool no_try;
	bool json;
};

enum {
	KEY_PYTHON = 0x300,
	KEY_DIR,
	KEY_AS,
	KEY_PLUGIN,
	KEY_FORCE,
	KEY_NO_TRY,
	KEY_TIMEOUT,
};

static const struct argp_option option_table[] = {
	{"python", KEY_PYTHON, "PROGRAM", 0,
	 "the NIXL installations of this Python (default python3)", 0},
	{"dir", KEY_DIR, "DIR", 0,
	 "instead: a directory of plugins, or the one NIXL's library is in "
	 "(with --python too: that one's NIXL tries the plugin there); with "
	 "paths: where the descriptions are",
	 0},
	{"plugin", KEY_PLUGIN, "FILE", 0,
	 "the plugin to install (default: the one that came with this "
	 "command)",
	 0},
	{"as", KEY_AS, "NAME", 0,
	 "the backend's name there, for programs that know only others, as "
	 "UCX (default TCPX)",
	 0},
	{"force", KEY_FORCE, NULL, 0,
	 "install: also into a NIXL that is not supported, and where another "
	 "file is, which is put aside and brought back by remove; remove: also "
	 "a plugin that this command did not put there",
	 0},
	{"no-try", KEY_NO_TRY, NULL, 0, "do not load the plugin into NIXL", 0},
	{"timeout", KEY_TIMEOUT, "SECONDS", 0,
	 "how long loading may take (default 60)", 0},
	{"json", 'j', NULL, 0, "as a JSON object", 0},
	{0},
};

static const char *const actions[] = {"install", "status", "remove", "paths",
				      "_try"};

static error_t parse_argument(char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	if (a->action && !strcmp(a->action, "_try") && !a->backend) {
		*(a->library ? &a->backend : &a->library) = arg;
		return 0;
	}
	if (a->action)
		return ARGP_ERR_UNKNOWN;
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (!strcmp(arg, actions[i]))
			a->action = actions[i];
	if (!a->action)
		argp_error(state, "\"%s\": install, status, remove or paths",
			   arg);
	return 0;
}

static unsigned timeout_arg(const char *text, struct argp_state *state)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600))
		argp_error(state, "--timeout %s: seconds, 0.1 to 3600", text);
	return (unsigned)(seconds * 1e3);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case KEY_PYTHON:
		a->python = arg;
		return 0;
	case KEY_DIR:
		a->dir = arg;
		return 0;
	case KEY_AS:
		a->as = arg;
		return 0;
	case KEY_PLUGIN:
		a->plugin = arg;
		return 0;
	case KEY_FORCE:
		a->force = true;
		return 0;
	case KEY_NO_TRY:
		a->no_try = true;
		return 0;
	case KEY_TIMEOUT:
		a->deadline_ms = timeout_arg(arg, state);
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		return parse_argument(arg, state);
	case ARGP_KEY_END:
		if (!a->action)
			argp_error(state, "install, status, remove or paths");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.args_doc = "install|status|remove|paths",
	.doc = "The backend TCPX in the NIXLs that are installed: puts the "
	       "plugin where NIXL looks for plugins, says whether it loads "
	       "there, takes it away again; and shows the paths of processes "
	       "that use it."
	       "\v"
	       "Examples:\n"
	       "  tcpx nixl install\n"
	       "  tcpx nixl status --python /opt/venv/bin/python --json\n"
	       "  tcpx nixl install --dir /opt/nixl/lib/plugins\n"
	       "  tcpx nixl paths\n\n"
	       "Exit status: 0 done, and it loads everywhere; 1 not done, or "
	       "it does not load; 2 the command line is wrong; 3 no NIXL, no "
	       "plugin, or no such directory was found.\n",
};

static const char *owner_name(enum nixl_owner owner)
{
	switch (owner) {
	case NIXL_US:
	case NIXL_US_CHANGED:
		return "tcpx";
	case NIXL_WHEEL:
		return "wheel";
	case NIXL_OTHER:
		return "other";
	default:
		return NULL;
	}
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *truth_or_null(int truth)
{
	return truth < 0 ? json_null() : json_boolean(truth);
}

/* What is there and, unless told otherwise, whether it loads. */
static void add_state(const struct arguments *a, const struct nixl_place *place,
		      const char *plugin, json_t *entry)
{
	struct nixl_file file;
	json_t *result = NULL;

	nixl_file_look(place, plugin, &file);
	json_object_set_new(entry, "installed",
			    json_boolean(file.owner != NIXL_NOBODY));
	json_object_set_new(entry, "by", text_or_null(owner_name(file.owner)));
	json_object_set_new(entry, "changed",
			    json_boolean(file.owner == NIXL_US_CHANGED));
	json_object_set_new(entry, "plugin_version",
			    text_or_null(file.version));
	json_object_set_new(entry, "current",
			    truth_or_null(*plugin ? file.current : -1));
	json_object_set_new(entry, "put_aside", json_boolean(file.backup));
	json_object_set_new(entry, "loads", json_null());
	if (file.owner == NIXL_NOBODY || a->no_try)
		return;
	if (!*place->library) {
		json_object_set_new(entry, "load_error",
				    json_string("not tried: no NIXL beside it "
						"(libnixl_capi.so); name one "
						"by --python"));
		return;
	}
	result = nixl_try(place, a->deadline_ms);
	/* What pip says of the version is surer than what the library says. */
	if (*place->version)
		json_object_del(result, "nixl");
	json_object_update(entry, result);
	json_decref(result);
}

static const char *act(const struct arguments *a,
		       const struct nixl_place *place, const char *plugin,
		       char *why, size_t cap_bytes)
{
	if (!strcmp(a->action, "remove"))
		return nixl_file_remove(place, a->force, why, cap_bytes);
	if (nixl_supported(place->version) == 0 && !a->force) {
		snprintf(why, cap_bytes,
			 "NIXL %s is not supported (%s to %s are); --force "
			 "installs all the same",
			 place->version, NIXL_OLDEST, NIXL_NEWEST);
		return NULL;
	}
	return nixl_file_install(place, plugin, a->force, why, cap_bytes);
}

/* Whether all that was asked for holds in this place. */
static bool holds(const struct arguments *a, const json_t *entry)
{
	bool acted = strcmp(a->action, "status") != 0;

	if (acted && json_is_null(json_object_get(entry, "done")))
		return false;
	if (!strcmp(a->action, "remove"))
		return true;
	if (!json_is_true(json_object_get(entry, "installed")))
		return false;
	return !json_is_false(json_object_get(entry, "loads"));
}

static json_t *visit(const struct arguments *a, const struct nixl_place *place,
		     const char *plugin)
{
	char why[PATH_MAX + 256] = "";
	const char *done = NULL, *version;
	json_t *entry;

	if (strcmp(a->action, "status"))
		done = act(a, place, plugin, why, sizeof(why));
	entry = json_pack("{so so ss ss ss* so so sn}", "package",
			  text_or_null(place->package), "nixl",
			  text_or_null(place->version), "plugin_dir",
			  place->dir, "backend", place->backend, "wheel",
			  *place->wheel ? place->wheel : NULL, "done",
			  text_or_null(done), "why",
			  text_or_null(done ? NULL : why), "load_error");
	add_state(a, place, plugin, entry);
	version = json_string_value(json_object_get(entry, "nixl"));
	json_object_set_new(entry, "supported",
			    truth_or_null(nixl_supported(version)));
	json_object_set_new(entry, "held", json_boolean(holds(a, entry)));
	return entry;
}

/* A setting of NIXL's own that makes it look elsewhere than where we put it. */
static void warn_elsewhere(const struct nixl_found *found)
{
	const char *dir = getenv("NIXL_PLUGIN_DIR");
	char real[PATH_MAX], ours[PATH_MAX];

	if (!dir || !*dir)
		return;
	if (!realpath(dir, real))
		snprintf(real, sizeof(real), "%s", dir);
	for (unsigned i = 0; i < found->n_places; i++)
		if (realpath(found->places[i].dir, ours) && !strcmp(ours, real))
			return;
	fprintf(stderr,
		"warning: NIXL_PLUGIN_DIR is set: with it NIXL looks only in "
		"%s (tcpx nixl install --dir)\n",
		dir);
}

static int visit_all(const struct arguments *a, const struct nixl_found *found,
		     const char *plugin)
{
	json_t *list = json_array(), *all;
	bool held = true;

	for (unsigned i = 0; i < found->n_places; i++) {
		json_t *entry = visit(a, &found->places[i], plugin);

		held &= json_is_true(json_object_get(entry, "held"));
		json_array_append_new(list, entry);
	}
	all = json_pack("{ss ss so so so s{ss ss} so so sb}", "version",
			tcpx_version(), "action", a->action, "plugin",
			text_or_null(plugin), "python",
			text_or_null(found->python), "python_version",
			text_or_null(found->python_version), "supported",
			"oldest", NIXL_OLDEST, "newest", NIXL_NEWEST,
			"nixl_plugin_dir",
			text_or_null(getenv("NIXL_PLUGIN_DIR")),
			"installations", list, "held", held);
	if (a->json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		nixl_show(all);
	}
	json_decref(all);
	return held ? EXIT_HELD : EXIT_BROKE;
}

static int show_paths(const struct arguments *a)
{
	json_t *list = nixl_paths(a->dir), *all;

	if (!list)
		return EXIT_SETUP;
	if (a->json) {
		all = json_pack("{so}", "processes", list);
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
		return EXIT_HELD;
	}
	nixl_paths_print(list);
	json_decref(list);
	return EXIT_HELD;
}

static int find(const struct arguments *a, struct nixl_found *found)
{
	struct nixl_found with;

	if (!a->dir)
		return nixl_find(a->python, found);
	if (nixl_find_dir(a->dir, found))
		return -1;
	if (!a->python)
		return 0;
	if (nixl_find(a->python, &with))
		return -1;
	memcpy(found->places[0].library, with.places[0].library, PATH_MAX);
	memcpy(found->places[0].version, with.places[0].version,
	       sizeof(with.places[0].version));
	return 0;
}

int cmd_nixl(int argc, char **argv)
{
	struct arguments a = {.deadline_ms = TRY_WAIT_MS};
	struct nixl_found found;
	char plugin[PATH_MAX];

	argp_parse(&parser, argc, argv, 0, NULL, &a);
	if (!strcmp(a.action, "_try"))
		return a.backend ? nixl_try_child(a.library, a.backend) :
				   EXIT_USAGE;
	if (!strcmp(a.action, "paths"))
		return show_paths(&a);
	if (nixl_find_plugin(a.plugin, plugin))
		return EXIT_SETUP;
	if (!*plugin && !strcmp(a.action, "install")) {
		complain("%s did not come with this command: it is built "
			 "where there is a C++ compiler (install one, then "
			 "meson setup --reconfigure build and ninja -C build); "
			 "or name one by --plugin",
			 NIXL_PLUGIN_FILE);
		return EXIT_SETUP;
	}
	if (find(&a, &found))
		return EXIT_SETUP;
	if (a.as && nixl_rename(&found, a.as)) {
		complain("--as %s: letters, digits and _ only", a.as);
		return EXIT_USAGE;
	}
	warn_elsewhere(&found);
	return visit_all(&a, &found, plugin);
}
