/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NIXLTOOL_SITE_H
#define TESTS_NIXLTOOL_SITE_H

/*
 * A Python with NIXLs that are none, in a folder of the case's own, and the
 * command run on it:
 *
 *   FOLDER/python                                        --python of it
 *   FOLDER/site/.nixl_cu12.mesonpy.libs/libnixl_capi.so  fake_capi.c
 *   FOLDER/site/.nixl_cu12.mesonpy.libs/plugins/
 *   FOLDER/site/nixl_cu12-1.5.1.dist-info/METADATA
 *   FOLDER/plugin.so                                     --plugin of it
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SITE_PLUGIN "libplugin_TCPX.so"

/* Makes the folder and enters it; skips the case without a Python. */
void site_make(void);
/* Takes it away. Only after a case that held: the rest stays to be seen. */
void site_unmake(void);
/* A NIXL: "cu12", "1.5.1". Returns its folder of plugins, relative. */
const char *site_add(const char *flavour, const char *version);

/* Files, relative to the folder. */
void site_write(const char *path, const char *text);
/* Whole, NUL-terminated; NULL: there is none. Freed by the caller. */
char *site_read(const char *path);
bool site_has(const char *path);
/* Everything in a folder: names, sizes and modes; freed by the caller. */
char *site_list(const char *dir);
/* The plugin at hand: its version is in it. */
void site_plugin(const char *version);

/* Runs `tcpx nixl` with these arguments as a shell would read them; $PY is
 * the Python, $PL the plugin. Returns the exit status; what it said stays in
 * the files "out" and "err". */
int site_run(const char *arguments);
/* The same with --json, and what must come of it. */
json_t *site_json(const char *arguments, int want_status);
/* The first installation of such a result, borrowed, and its keys. */
json_t *site_first(const json_t *all);
const char *site_text(const json_t *object, const char *key);
/* 1, 0, or -1 for null; a missing key fails the case. */
int site_truth(const json_t *object, const char *key);

#endif
