/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_NIXL_H
#define TCPX_TOOL_NIXL_H

/*
 * `tcpx nixl`: the plugin in the NIXLs that people have installed.
 *
 *   nixl_find.c    where are they, and where is our plugin   -> places
 *   nixl_file.c    the plugin in a place: put, taken away, whose is it
 *   nixl_try.c     does it load there: a child that really creates a backend
 *   nixl_run.c     other programs, with a deadline
 *   nixl_paths.c   what the plugin in running processes says about its peers
 *   nixl_show.c    all of that for people
 *   cmd_nixl.c     the command line, and what is printed
 */

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* NIXL cuts a backend's name out of its file's: libplugin_NAME.so. */
#define NIXL_BACKEND "TCPX"
#define NIXL_PLUGIN_FILE "libplugin_" NIXL_BACKEND ".so"

/* The releases the plugin's binary interface was proven with. */
#define NIXL_OLDEST "1.0.0"
#define NIXL_NEWEST "1.5.1"

#define NIXL_PLACES_MAX 16

/* One installed NIXL, or a directory that was named. */
struct nixl_place {
	char package[32]; /* of Python, "nixl-cu12"; "" for a directory */
	char version[32]; /* of NIXL; "" unknown */
	char backend[32]; /* the name the plugin has there, mostly "TCPX" */
	char dir[PATH_MAX]; /* where it looks for plugins */
	char library[PATH_MAX]; /* its libnixl_capi.so; "" if it has none */
	char wheel[64]; /* the Python package that owns a plugin of ours there,
			   "tcpx-p2p 0.1.0"; "" none */
};

struct nixl_found {
	char python[PATH_MAX]; /* "" none asked or found */
	char python_version[32];
	struct nixl_place places[NIXL_PLACES_MAX];
	unsigned n_places;
};

/* A program that ran to its end, or into its deadline. */
struct nixl_run {
	char *out, *err; /* what it wrote, NUL-terminated, cut at 256 KiB */
	int status; /* as of waitpid() */
	bool late;
};

/* argv[0] is looked for in PATH; env: more "NAME=value" for it. Complains
 * and returns -1 if it could not be started; free it otherwise. */
int nixl_run(const char *const *argv, const char *const *env,
	     unsigned deadline_ms, struct nixl_run *run);
void nixl_run_free(struct nixl_run *run);

/* Asks a Python. NULL: $TCPX_NIXL_PYTHON, else python3. Complains; 0 or -1,
 * also when it has no NIXL at all. */
int nixl_find(const char *python, struct nixl_found *found);
/* A directory with plugins in it, or with a NIXL library. */
int nixl_find_dir(const char *dir, struct nixl_found *found);
/* The plugin under another name, in all places. -1 if it cannot be one. */
int nixl_rename(struct nixl_found *found, const char *backend);
/* 1 supported, 0 not, -1 unknown, as for NULL. */
int nixl_supported(const char *version);
/* Our plugin: the file named, or where builds, installations and wheels have
 * it. Complains if named is not there; else an empty path says none. */
int nixl_find_plugin(const char *named, char path[PATH_MAX]);

enum nixl_owner {
	NIXL_NOBODY, /* no such file */
	NIXL_US, /* this command put it there, and it is unchanged */
	NIXL_US_CHANGED, /* it did, but the file is another one since */
	NIXL_WHEEL, /* pip did, as part of the wheel tcpx-p2p */
	NIXL_OTHER,
};

/* The plugin's file in a place. */
struct nixl_file {
	enum nixl_owner owner;
	bool ours; /* whoever put it there: it is this plugin */
	bool current; /* the same bytes as the plugin at hand */
	bool backup; /* another file was put aside for it */
	char version[32]; /* of the plugin, "" unknown */
};

void nixl_file_look(const struct nixl_place *place, const char *plugin,
		    struct nixl_file *file);
/* What became of it, for people and for "done"; NULL: nothing, and why is
 * filled. force: also over files that are not ours, which are put aside. */
const char *nixl_file_install(const struct nixl_place *place,
			      const char *plugin, bool force, char *why,
			      size_t cap_bytes);
const char *nixl_file_remove(const struct nixl_place *place, bool force,
			     char *why, size_t cap_bytes);

/*
 * Starts this program once more, which opens the NIXL library, creates an
 * agent and our backend in it, and lists its memories. The result has
 * "loads" (boolean) and "load_error" (string or null), and if it loads "memories",
 * "parameters", "nixl" (version or null) and "took_s". Ends in deadline_ms.
 */
json_t *nixl_try(const struct nixl_place *place, unsigned deadline_ms);
/* That other program; returns its exit status. */
int nixl_try_child(const char *library, const char *backend);

/* Every description in the directory, those of dead processes dropped: an
 * array. dir NULL: the plugin's own rule. NULL and a complaint if it cannot
 * be read; a missing directory is an empty array. */
json_t *nixl_paths(const char *dir);
void nixl_paths_print(const json_t *list);
/* The result of the other actions, as in docs/json.md. */
void nixl_show(const json_t *all);

#endif
