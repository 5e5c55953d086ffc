/* SPDX-License-Identifier: Apache-2.0 */
/* Where NIXL is installed, and where our plugin is. */
#include "nixl.h"

#include "cmd.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON_WAIT_MS 60000

/* From meson: where the plugin is installed, relative to the prefix. */
#ifndef TCPX_PLUGIN_SUBDIR
#define TCPX_PLUGIN_SUBDIR "lib/tcpx"
#endif

/*
 * What a Python knows of its NIXLs. NIXL looks for plugins beside its own
 * library, which the wheels put into ".<package>.mesonpy.libs". Nothing is
 * imported: importing NIXL takes seconds, and may fail.
 */
static const char question[] =
	"import sys\n"
	"sys.path = [p for p in sys.path if p]\n"
	"import glob, importlib.metadata as im, json, os, platform, re\n"
	"def plain(name): return re.sub('[-_.]+', '-', name or '').lower()\n"
	"def info(d): return plain(d.metadata['Name']), d.version or ''\n"
	"dists = {}\n"
	"owners = {}\n"
	"for d in im.distributions():\n"
	"    name, version = info(d)\n"
	"    if re.match('nixl(-cu[0-9]+)?$', name):\n"
	"        dists.setdefault(name, version)\n"
	"    elif name == 'tcpx-p2p':\n"
	"        for f in d.files or []:\n"
	"            path = os.path.realpath(d.locate_file(f))\n"
	"            owners[path] = name + ' ' + version\n"
	"found, seen = [], set()\n"
	"for root in sys.path:\n"
	"    for libs in sorted(glob.glob(glob.escape(root)"
	" + '/.nixl*.mesonpy.libs')):\n"
	"        if not os.path.exists(libs + '/libnixl.so'): continue\n"
	"        if os.path.realpath(libs) in seen: continue\n"
	"        seen.add(os.path.realpath(libs))\n"
	"        name = plain(os.path.basename(libs)[1:].split('.')[0])\n"
	"        capi = libs + '/libnixl_capi.so'\n"
	"        plugin = libs + '/plugins/libplugin_TCPX.so'\n"
	"        found.append({'package': name,\n"
	"            'version': dists.get(name, ''),\n"
	"            'dir': libs + '/plugins',\n"
	"            'library': capi if os.path.exists(capi) else '',\n"
	"            'wheel': owners.get(os.path.realpath(plugin), '')})\n"
	"json.dump({'python': sys.executable or '',\n"
	"    'version': platform.python_version(), 'places': found},\n"
	"    sys.stdout)\n";

static int copy(char *to, size_t cap_bytes, const char *from)
{
	int n = snprintf(to, cap_bytes, "%s", from ? from : "");

	return n < 0 || (size_t)n >= cap_bytes ? -1 : 0;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static void add_place(const json_t *one, struct nixl_found *found)
{
	struct nixl_place *place = &found->places[found->n_places];

	if (found->n_places == NIXL_PLACES_MAX)
		return;
	memset(place, 0, sizeof(*place));
	copy(place->backend, sizeof(place->backend), NIXL_BACKEND);
	if (copy(place->package, sizeof(place->package),
		 text(one, "package")) ||
	    copy(place->version, sizeof(place->version),
		 text(one, "version")) ||
	    copy(place->dir, sizeof(place->dir), text(one, "dir")) ||
	    copy(place->library, sizeof(place->library),
		 text(one, "library")) ||
	    copy(place->wheel, sizeof(place->wheel), text(one, "wheel")))
		return;
	found->n_places++;
}

/* The last line of a text, for errors: that is where Python says it. */
static const char *last_line(char *lines)
{
	size_t len = strlen(lines);
	char *newline;

	while (len > 0 && lines[len - 1] == '\n')
		lines[--len] = '\0';
	newline = strrchr(lines, '\n');
	return newline ? newline + 1 : lines;
}

static json_t *ask_python(const char *python)
{
	const char *argv[] = {python, "-c", question, NULL};
	struct nixl_run run;
	json_t *answer = NULL;

	if (nixl_run(argv, NULL, PYTHON_WAIT_MS, &run))
		return NULL;
	if (run.late)
		complain("%s does not answer within %u s", python,
			 PYTHON_WAIT_MS / 1000);
	else if (!WIFEXITED(run.status) || WEXITSTATUS(run.status))
		complain("%s: %s", python, last_line(run.err));
	else
		answer = json_loads(run.out, 0, NULL);
	if (!answer && !run.late && WIFEXITED(run.status) &&
	    !WEXITSTATUS(run.status))
		complain("%s does not answer like a Python", python);
	nixl_run_free(&run);
	return answer;
}

int nixl_find(const char *python, struct nixl_found *found)
{
	json_t *answer, *one;
	size_t i;

	memset(found, 0, sizeof(*found));
	if (!python)
		python = getenv("TCPX_NIXL_PYTHON");
	if (!python || !*python)
		python = "python3";
	answer = ask_python(python);
	if (!answer)
		return -1;
	copy(found->python, sizeof(found->python), text(answer, "python"));
	copy(found->python_version, sizeof(found->python_version),
	     text(answer, "version"));
	json_array_foreach(json_object_get(answer, "places"), i, one)
		add_place(one, found);
	json_decref(answer);
	if (found->n_places)
		return 0;
	complain("%s has no NIXL: pip install nixl for it first, or name "
		 "another one (--python), or a directory (--dir)",
		 *found->python ? found->python : python);
	return -1;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* dir/name into path if there is such a file. */
static bool find_in(const char *dir, const char *name, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	if (n > 0 && n < PATH_MAX && access(path, F_OK) == 0)
		return true;
	path[0] = '\0';
	return false;
}

/* A NIXL's own "plugins", if dir is where its library is; else dir. */
int nixl_find_dir(const char *dir, struct nixl_found *found)
{
	struct nixl_place *place = &found->places[0];
	char lib[PATH_MAX], up[PATH_MAX];

	memset(found, 0, sizeof(*found));
	if (!realpath(dir, place->dir) || !is_dir(place->dir)) {
		complain("%s: %s", dir,
			 is_dir(dir) ? strerror(errno) : "no such directory");
		return -1;
	}
	copy(up, sizeof(up), place->dir);
	if (find_in(place->dir, "libnixl.so", lib)) {
		if (!find_in(up, "plugins", place->dir) ||
		    !is_dir(place->dir)) {
			complain("%s has no directory plugins", up);
			return -1;
		}
	} else {
		*strrchr(up, '/') = '\0';
	}
	find_in(up, "libnixl_capi.so", place->library);
	copy(place->backend, sizeof(place->backend), NIXL_BACKEND);
	found->n_places = 1;
	return 0;
}

int nixl_rename(struct nixl_found *found, const char *backend)
{
	size_t len = strspn(backend, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
				     "abcdefghijklmnopqrstuvwxyz");

	if (len == 0 || backend[len] || len >= sizeof(found->places->backend))
		return -1;
	if (!strcmp(backend, NIXL_BACKEND))
		return 0;
	for (unsigned i = 0; i < found->n_places; i++) {
		struct nixl_place *place = &found->places[i];

		copy(place->backend, sizeof(place->backend), backend);
		place->wheel[0] = '\0'; /* it owns the usual name alone */
	}
	return 0;
}

/* "1.4.10" -> {1, 4, 10}; also "1.4.10+cu12", which is a build of it.
 * Returns 0; 1 for a release that is none yet, "1.4.10rc1"; -1: no version. */
static int parse_version(const char *version, int parts[3])
{
	int used = 0;

	if (sscanf(version, "%d.%d.%d%n", &parts[0], &parts[1], &parts[2],
		   &used) < 3)
		return -1;
	return version[used] && version[used] != '+';
}

static int compare(const int *a, const int *b)
{
	for (int i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

int nixl_supported(const char *version)
{
	int parts[3], oldest[3], newest[3], kind;

	if (!version || !*version)
		return -1;
	kind = parse_version(version, parts);
	parse_version(NIXL_OLDEST, oldest);
	parse_version(NIXL_NEWEST, newest);
	return kind == 0 && compare(parts, oldest) >= 0 &&
	       compare(parts, newest) <= 0;
}

/* Relative to this program: in its wheel, its build, its installation. */
static const char *const plugin_dirs[] = {
	".",
	"../../plugins/nixl",
	("../" TCPX_PLUGIN_SUBDIR),
};

int nixl_find_plugin(const char *named, char path[PATH_MAX])
{
	char self[PATH_MAX], dir[2 * PATH_MAX], one[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	path[0] = '\0';
	if (named) {
		if (realpath(named, path))
			return 0;
		complain("%s: %s", named, strerror(errno));
		path[0] = '\0';
		return -1;
	}
	if (n <= 0)
		return 0;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(plugin_dirs) / sizeof(*plugin_dirs);
	     i++) {
		snprintf(dir, sizeof(dir), "%s/%s", self, plugin_dirs[i]);
		if (find_in(dir, NIXL_PLUGIN_FILE, one) && realpath(one, path))
			return 0;
	}
	path[0] = '\0';
	return 0;
}
