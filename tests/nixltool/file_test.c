/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx nixl install, status, remove: whose file is where, and that nobody
 * else's is ever touched. */
#include "check.h"
#include "site.h"

#include <sys/stat.h>

/* Paths of the one NIXL most cases have. */
#define DIR "site/.nixl_cu12.mesonpy.libs/plugins"
#define PLUGIN DIR "/" SITE_PLUGIN
#define NOTE DIR "/.libplugin_TCPX.json"
#define ASIDE PLUGIN ".before-tcpx"

static void same_file(const char *a, const char *b)
{
	char *x = site_read(a), *y = site_read(b);

	CHECK(x && y);
	CHECK_STR(x, y);
	free(x);
	free(y);
}

static void says(const char *file, const char *words)
{
	char *text = site_read(file);

	if (!text || !strstr(text, words))
		fprintf(stderr, "%s says: %s\n", file, text ? text : "");
	CHECK(text && strstr(text, words));
	free(text);
}

static void done_is(const char *arguments, int status, const char *done)
{
	json_t *all = site_json(arguments, status);
	const char *text = site_text(site_first(all), "done");

	if (done)
		CHECK_STR(text, done);
	else
		CHECK(!text && site_text(site_first(all), "why"));
	json_decref(all);
}

static void round_trip(void)
{
	char *before, *after;
	struct stat st;
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	before = site_list(DIR);
	all = site_json("status --python $PY --plugin $PL", 1);
	CHECK_EQ(site_truth(site_first(all), "installed"), 0);
	json_decref(all);

	all = site_json("install --python $PY --plugin $PL", 0);
	CHECK_STR(site_text(all, "action"), "install");
	CHECK_EQ(site_truth(all, "held"), 1);
	CHECK_STR(site_text(site_first(all), "done"), "installed");
	CHECK_STR(site_text(site_first(all), "package"), "nixl-cu12");
	CHECK_STR(site_text(site_first(all), "nixl"), "1.5.1");
	CHECK_STR(site_text(site_first(all), "plugin_version"), "0.1.0");
	CHECK_STR(site_text(site_first(all), "by"), "tcpx");
	CHECK_EQ(site_truth(site_first(all), "supported"), 1);
	CHECK_EQ(site_truth(site_first(all), "current"), 1);
	CHECK_EQ(site_truth(site_first(all), "loads"), 1);
	json_decref(all);
	same_file(PLUGIN, "plugin.so");
	CHECK_EQ(stat(PLUGIN, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0755);

	done_is("install --python $PY --plugin $PL", 0, "unchanged");
	done_is("remove --python $PY", 0, "removed");
	after = site_list(DIR);
	CHECK_STR(after, before);
	done_is("remove --python $PY", 0, "absent");
	free(before);
	free(after);
	site_unmake();
}

static void upgrade(void)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	done_is("install --python $PY --plugin $PL", 0, "installed");
	site_plugin("0.2.0");
	all = site_json("status --python $PY --plugin $PL", 0);
	CHECK_EQ(site_truth(site_first(all), "current"), 0);
	CHECK_STR(site_text(site_first(all), "plugin_version"), "0.1.0");
	json_decref(all);
	done_is("install --python $PY --plugin $PL", 0, "replaced");
	same_file(PLUGIN, "plugin.so");
	CHECK(!site_has(ASIDE));
	done_is("remove --python $PY", 0, "removed");
	CHECK(!site_has(NOTE));
	site_unmake();
}

static void somebody_elses(void)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	site_write(PLUGIN, "precious");
	CHECK_EQ(chmod(PLUGIN, 0640), 0);
	CHECK_EQ(site_run("install --python $PY --plugin $PL"), 1);
	says("out", "is not from this command");
	done_is("remove --python $PY", 1, NULL);
	done_is("remove --python $PY --force", 1, NULL);
	all = site_json("status --python $PY --plugin $PL", 0);
	CHECK_STR(site_text(site_first(all), "by"), "other");
	json_decref(all);
	CHECK(!site_has(NOTE));
	site_write("precious", "precious");
	same_file(PLUGIN, "precious");
	site_unmake();
}

static void put_aside_and_back(void)
{
	char *before, *after;

	site_make();
	site_add("cu12", "1.5.1");
	site_write(PLUGIN, "precious");
	CHECK_EQ(chmod(PLUGIN, 0640), 0);
	before = site_list(DIR);
	done_is("install --python $PY --plugin $PL --force", 0, "replaced");
	same_file(PLUGIN, "plugin.so");
	CHECK(site_has(ASIDE));
	site_plugin("0.2.0"); /* an upgrade leaves it aside */
	done_is("install --python $PY --plugin $PL", 0, "replaced");
	done_is("remove --python $PY", 0, "restored");
	after = site_list(DIR);
	CHECK_STR(after, before);
	free(before);
	free(after);
	site_unmake();
}

static void changed_since(void)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	done_is("install --python $PY --plugin $PL", 0, "installed");
	site_write(PLUGIN, "changed by somebody");
	all = site_json("status --python $PY --plugin $PL", 0);
	CHECK_EQ(site_truth(site_first(all), "changed"), 1);
	json_decref(all);
	done_is("remove --python $PY", 1, NULL);
	done_is("install --python $PY --plugin $PL", 1, NULL);
	done_is("remove --python $PY --force", 0, "removed");
	CHECK(!site_has(PLUGIN) && !site_has(NOTE));
	site_unmake();
}

static void by_pip(void)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	CHECK_EQ(mkdir("site/tcpx_p2p-0.1.0.dist-info", 0755), 0);
	site_write("site/tcpx_p2p-0.1.0.dist-info/METADATA",
		   "Metadata-Version: 2.1\nName: tcpx-p2p\nVersion: 0.1.0\n");
	site_write("site/tcpx_p2p-0.1.0.dist-info/RECORD",
		   ".nixl_cu12.mesonpy.libs/plugins/libplugin_TCPX.so,,\n");
	site_write(PLUGIN, "tcpx-p2p NIXL plugin 0.1.0");
	all = site_json("status --python $PY --plugin $PL", 0);
	CHECK_STR(site_text(site_first(all), "by"), "wheel");
	CHECK_STR(site_text(site_first(all), "wheel"), "tcpx-p2p 0.1.0");
	CHECK_STR(site_text(site_first(all), "plugin_version"), "0.1.0");
	json_decref(all);
	CHECK_EQ(site_run("remove --python $PY --force"), 1);
	says("out", "pip uninstall tcpx-p2p");
	done_is("install --python $PY --plugin $PL --force", 1, NULL);
	CHECK(site_has(PLUGIN) && !site_has(NOTE));
	site_unmake();
}

static void version_is(const char *version, int status, int supported)
{
	json_t *all;

	site_make();
	site_add("cu12", version);
	all = site_json("install --python $PY --plugin $PL", status);
	CHECK_EQ(site_truth(site_first(all), "supported"), supported);
	json_decref(all);
	CHECK_EQ(site_has(PLUGIN), status == 0);
	if (status)
		done_is("install --python $PY --plugin $PL --force", 0,
			"installed");
	site_unmake();
}

static void version_0_10(void)
{
	version_is("0.10.1", 1, 0);
}

static void version_1_0(void)
{
	version_is("1.0.0", 0, 1);
}

static void version_1_4_10(void)
{
	version_is("1.4.10", 0, 1);
}

static void version_1_5_2(void)
{
	version_is("1.5.2", 1, 0);
}

static void version_2_0(void)
{
	version_is("2.0.0", 1, 0);
}

static void version_rc(void)
{
	version_is("1.5.1rc1", 1, 0);
}

static void two_nixls(void)
{
	json_t *all, *list;

	site_make();
	site_add("cu12", "1.5.1");
	site_add("cu13", "1.4.1");
	all = site_json("install --python $PY --plugin $PL", 0);
	list = json_object_get(all, "installations");
	CHECK_EQ(json_array_size(list), 2);
	CHECK_STR(site_text(json_array_get(list, 1), "package"), "nixl-cu13");
	CHECK_STR(site_text(json_array_get(list, 1), "nixl"), "1.4.1");
	json_decref(all);
	CHECK(site_has(PLUGIN));
	CHECK(site_has("site/.nixl_cu13.mesonpy.libs/plugins/" SITE_PLUGIN));
	site_unmake();
}

static void by_directory(void)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	setenv("FAKE_NIXL_VERSION", "1.3.1", 1);
	/* Where the library is, and where the plugins are: the same. */
	all = site_json("install --plugin $PL --dir "
			"site/.nixl_cu12.mesonpy.libs",
			0);
	CHECK_STR(site_text(site_first(all), "done"), "installed");
	CHECK_STR(site_text(site_first(all), "nixl"), "1.3.1");
	CHECK_EQ(site_truth(site_first(all), "supported"), 1);
	CHECK_EQ(site_truth(site_first(all), "loads"), 1);
	json_decref(all);
	CHECK(site_has(PLUGIN));
	done_is("remove --dir " DIR, 0, "removed");
	/* One without a NIXL: its own cannot try it, another one's can. */
	CHECK_EQ(mkdir("own", 0755), 0);
	all = site_json("install --plugin $PL --dir own", 0);
	CHECK_EQ(site_truth(site_first(all), "loads"), -1);
	json_decref(all);
	all = site_json("status --plugin $PL --dir own --python $PY", 0);
	CHECK_EQ(site_truth(site_first(all), "loads"), 1);
	json_decref(all);
	site_unmake();
}

/* For programs that know no name but UCX: its own plugin must come back. */
static void as_another(void)
{
	char *before, *after;
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	before = site_list(DIR);
	done_is("install --as UCX --python $PY --plugin $PL", 1, NULL);
	all = site_json("install --as UCX --force --python $PY --plugin $PL",
			0);
	CHECK_STR(site_text(site_first(all), "backend"), "UCX");
	CHECK_EQ(site_truth(site_first(all), "loads"), 1);
	CHECK_EQ(site_truth(site_first(all), "put_aside"), 1);
	json_decref(all);
	same_file(DIR "/libplugin_UCX.so", "plugin.so");
	done_is("install --python $PY --plugin $PL", 0, "installed");
	done_is("remove --python $PY", 0, "removed");
	done_is("remove --as UCX --python $PY", 0, "restored");
	after = site_list(DIR);
	CHECK_STR(after, before);
	CHECK_EQ(site_run("install --as ../UCX --python $PY --plugin $PL"), 2);
	free(before);
	free(after);
	site_unmake();
}

/* The command alone, as where it was built without a C++ compiler. */
static void no_plugin(void)
{
	site_make();
	CHECK_EQ(system("cp \"$TEST_TCPX\" tcpx"), 0);
	CHECK_EQ(system("LD_LIBRARY_PATH=$(dirname \"$TEST_TCPX\")/../.. "
			"./tcpx nixl install >out 2>err; test $? = 3"),
		 0);
	says("err", "did not come with this command");
	says("err", "where there is a C++ compiler");
	says("err", "meson setup --reconfigure build");
	says("err", "--plugin");
	site_unmake();
}

static void nothing_found(void)
{
	site_make();
	CHECK_EQ(site_run("status --python $PY"), 3);
	says("err", "has no NIXL");
	CHECK_EQ(site_run("status --python ./no-such-python"), 3);
	says("err", "no-such-python: No such file");
	CHECK_EQ(site_run("status --python true"), 3);
	says("err", "does not answer like a Python");
	CHECK_EQ(site_run("status --dir ./nowhere"), 3);
	says("err", "no such directory");
	CHECK_EQ(site_run("install --python $PY --plugin ./nowhere"), 3);
	says("err", "nowhere: No such file");
	site_add("cu12", "1.5.1");
	CHECK_EQ(system("rm -r " DIR), 0);
	CHECK_EQ(site_run("install --python $PY --plugin $PL"), 1);
	says("out", "cannot write");
	site_unmake();
}

static void command_line(void)
{
	site_make();
	CHECK_EQ(site_run(""), 2);
	CHECK_EQ(site_run("instal"), 2);
	CHECK_EQ(site_run("install remove"), 2);
	CHECK_EQ(site_run("status --timeout 0"), 2);
	CHECK_EQ(site_run("status --timeout soon"), 2);
	CHECK_EQ(site_run("status --no-such"), 2);
	CHECK_EQ(site_run("--help"), 0);
	says("out", "install|status|remove|paths");
	site_unmake();
}

static void looks_elsewhere(void)
{
	site_make();
	site_add("cu12", "1.5.1");
	setenv("NIXL_PLUGIN_DIR", "/somewhere/else", 1);
	CHECK_EQ(site_run("install --python $PY --plugin $PL"), 0);
	says("err", "NIXL looks only in /somewhere/else");
	setenv("NIXL_PLUGIN_DIR", DIR, 1);
	CHECK_EQ(site_run("status --python $PY --plugin $PL"), 0);
	CHECK_EQ(system("test ! -s err"), 0);
	site_unmake();
}

/* What the library does when the plugin is loaded, and what is said of it. */
static void loading(const char *how, int status, const char *words)
{
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	CHECK_EQ(site_run("install --no-try --python $PY --plugin $PL"), 0);
	setenv("FAKE_NIXL", how, 1);
	CHECK_EQ(site_run("status --python $PY --plugin $PL --timeout 2"),
		 status);
	says("out", words);
	all = site_json("status --python $PY --plugin $PL --timeout 2", status);
	CHECK_EQ(site_truth(site_first(all), "loads"), status == 0);
	CHECK_EQ(site_truth(site_first(all), "held"), status == 0);
	json_decref(all);
	site_unmake();
}

static void load_good(void)
{
	loading("good", 0, "yes: DRAM, VRAM");
}

static void load_refused(void)
{
	loading("refuse", 1, "refused by this NIXL");
}

static void load_broken(void)
{
	loading("broken", 1, "no backend could be created");
}

static void load_crash(void)
{
	loading("crash", 1, "it crashed");
}

static void load_hang(void)
{
	loading("hang", 1, "no answer within 2 s");
}

static void load_chatty(void)
{
	loading("chatty", 0, "yes: DRAM, VRAM");
}

static void load_parameters(void)
{
	const json_t *parameters, *memories;
	json_t *all;

	site_make();
	site_add("cu12", "1.5.1");
	all = site_json("install --python $PY --plugin $PL", 0);
	parameters = json_object_get(site_first(all), "parameters");
	CHECK_EQ(json_object_size(parameters), 2);
	CHECK_STR(site_text(parameters, "port"), "18515");
	memories = json_object_get(site_first(all), "memories");
	CHECK_EQ(json_array_size(memories), 2);
	CHECK_STR(json_string_value(json_array_get(memories, 1)), "VRAM");
	CHECK(json_real_value(json_object_get(site_first(all), "took_s")) > 0);
	json_decref(all);
	site_unmake();
}

static const struct check_case cases[] = {
	{"round_trip", round_trip, 0},
	{"upgrade", upgrade, 0},
	{"somebody_elses", somebody_elses, 0},
	{"put_aside_and_back", put_aside_and_back, 0},
	{"changed_since", changed_since, 0},
	{"by_pip", by_pip, 0},
	{"version_0_10", version_0_10, 0},
	{"version_1_0", version_1_0, 0},
	{"version_1_4_10", version_1_4_10, 0},
	{"version_1_5_2", version_1_5_2, 0},
	{"version_2_0", version_2_0, 0},
	{"version_rc", version_rc, 0},
	{"two_nixls", two_nixls, 0},
	{"by_directory", by_directory, 0},
	{"as_another", as_another, 0},
	{"no_plugin", no_plugin, 0},
	{"nothing_found", nothing_found, 0},
	{"command_line", command_line, 0},
	{"looks_elsewhere", looks_elsewhere, 0},
	{"load_good", load_good, 0},
	{"load_refused", load_refused, 0},
	{"load_broken", load_broken, 0},
	{"load_crash", load_crash, 0},
	{"load_hang", load_hang, 0},
	{"load_chatty", load_chatty, 0},
	{"load_parameters", load_parameters, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
