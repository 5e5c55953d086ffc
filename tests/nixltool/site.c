/* SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include "check.h"

#include <limits.h>
#include <sys/stat.h>

static char folder[] = "/tmp/tcpx-nixltool-XXXXXX";

static void shell(const char *command)
{
	CHECK_EQ(system(command), 0);
}

/* The program itself: python3 may be a script that looks for it each time. */
static void find_python(char *path, size_t cap_bytes)
{
	FILE *p = popen("python3 -c 'import importlib.metadata, sys; "
			"print(sys.executable)' 2>/dev/null",
			"r");
	bool found = p && fgets(path, (int)cap_bytes, p);

	if (p)
		pclose(p);
	if (!found)
		SKIP("no python3 with importlib.metadata");
	path[strcspn(path, "\n")] = '\0';
}

void site_make(void)
{
	char text[PATH_MAX], python[PATH_MAX / 2];

	find_python(python, sizeof(python));
	CHECK(mkdtemp(folder));
	CHECK_EQ(chdir(folder), 0);
	CHECK_EQ(mkdir("site", 0755), 0);
	/* Not what is installed on this machine besides. */
	snprintf(text, sizeof(text),
		 "#!/bin/sh\nPYTHONPATH='%s/site' exec '%s' -S \"$@\"\n",
		 folder, python);
	site_write("python", text);
	CHECK_EQ(chmod("python", 0755), 0);
	snprintf(text, sizeof(text), "%s/python", folder);
	setenv("PY", text, 1);
	snprintf(text, sizeof(text), "%s/plugin.so", folder);
	setenv("PL", text, 1);
	unsetenv("NIXL_PLUGIN_DIR");
	unsetenv("TCPX_NIXL_PYTHON");
	unsetenv("TCPX_DESCRIBE_DIR");
	site_plugin("0.1.0");
}

void site_unmake(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "cd / && rm -rf '%s'", folder);
	shell(command);
}

const char *site_add(const char *flavour, const char *version)
{
	static char dir[128];
	char command[768], path[256];

	snprintf(dir, sizeof(dir), "site/.nixl_%.8s.mesonpy.libs/plugins",
		 flavour);
	snprintf(command, sizeof(command),
		 "mkdir -p '%s' 'site/nixl_%s-%s.dist-info' && "
		 "cp \"$TEST_FAKE_CAPI\" '%s/../libnixl_capi.so'",
		 dir, flavour, version, dir);
	shell(command);
	snprintf(path, sizeof(path), "%s/../libnixl.so", dir);
	site_write(path, "not really");
	snprintf(path, sizeof(path), "%s/libplugin_UCX.so", dir);
	site_write(path, "somebody else's");
	snprintf(path, sizeof(path), "site/nixl_%s-%s.dist-info/METADATA",
		 flavour, version);
	snprintf(command, sizeof(command),
		 "Metadata-Version: 2.1\nName: nixl-%s\nVersion: %s\n", flavour,
		 version);
	site_write(path, command);
	return dir;
}

void site_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f);
	CHECK_EQ(fwrite(text, 1, strlen(text), f), strlen(text));
	CHECK_EQ(fclose(f), 0);
}

char *site_read(const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		return NULL;
	if (getdelim(&text, &len, '\0', f) < 0) {
		free(text);
		text = strdup("");
	}
	fclose(f);
	return text;
}

bool site_has(const char *path)
{
	return access(path, F_OK) == 0;
}

char *site_list(const char *dir)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command),
		 "cd '%s' && find . ! -name . -printf '%%p %%s %%m\\n' | sort "
		 ">\"$OLDPWD/list\"",
		 dir);
	shell(command);
	return site_read("list");
}

void site_plugin(const char *version)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "ELF more or less\ntcpx-p2p NIXL plugin %s", version);
	site_write("plugin.so", text);
}

int site_run(const char *arguments)
{
	char command[2 * PATH_MAX];
	int status;

	CHECK(getenv("TEST_TCPX"));
	snprintf(command, sizeof(command), "\"$TEST_TCPX\" nixl %s >out 2>err",
		 arguments);
	status = system(command);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

json_t *site_json(const char *arguments, int want_status)
{
	char with[PATH_MAX], *err;
	json_t *all;
	int status;

	snprintf(with, sizeof(with), "%s --json", arguments);
	status = site_run(with);
	err = site_read("err");
	if (status != want_status)
		fprintf(stderr, "tcpx nixl %s: %s\n", with, err);
	free(err);
	CHECK_EQ(status, want_status);
	all = json_load_file("out", 0, NULL);
	CHECK(all);
	return all;
}

json_t *site_first(const json_t *all)
{
	json_t *one = json_array_get(json_object_get(all, "installations"), 0);

	CHECK(one);
	return one;
}

const char *site_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!value)
		fprintf(stderr, "no key %s\n", key);
	CHECK(value);
	return json_string_value(value);
}

int site_truth(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_boolean(value) && !json_is_null(value))
		fprintf(stderr, "no boolean %s\n", key);
	CHECK(json_is_boolean(value) || json_is_null(value));
	return json_is_null(value) ? -1 : json_is_true(value);
}
