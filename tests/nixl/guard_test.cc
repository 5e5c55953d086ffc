/* SPDX-License-Identifier: Apache-2.0 */
/* Which NIXLs the plugin lets itself be loaded by. */
#include <string>

#include <dlfcn.h>
#include <sys/stat.h>

#include "check.h"
#include "guard.h"

static void known_versions(void)
{
	for (const char *good :
	     {"1.0.0", "1.0.1", "1.1.0", "1.2.0", "1.3.0", "1.3.1", "1.3.2",
	      "1.4.0", "1.4.1", "1.5.0", "1.5.1", "1.4.1+cuda12"})
		CHECK(guard_known_version(good));
	for (const char *bad :
	     {"", "1", "1.5", "1.5.2", "1.6.0", "2.0.0", "0.10.1", "0.9.0",
	      "1.5.0rc1", "1.x.0", "-1.0.0", "1.-1.0", "main"})
		CHECK(!guard_known_version(bad));
}

/* ---- folders as wheels have them -------------------------------------- */

struct place {
	char top[64] = "/tmp/tcpx-nixl-test-XXXXXX";

	place()
	{
		CHECK(mkdtemp(top));
	}
	~place()
	{
		std::string command = std::string("rm -rf ") + top;

		CHECK_EQ(system(command.c_str()), 0);
	}
	std::string folder(const std::string &name) const
	{
		std::string path = std::string(top) + "/" + name;

		CHECK(!mkdir(path.c_str(), 0700) || errno == EEXIST);
		return path;
	}
};

/* A program of the build, beside this one. */
static std::string beside(const std::string &name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	CHECK(n > 0);
	std::string self(path, static_cast<size_t>(n));

	return self.substr(0, self.rfind('/') + 1) + name;
}

static void copy(const std::string &from, const std::string &to)
{
	std::string command = "cp '" + from + "' '" + to + "'";

	CHECK_EQ(system(command.c_str()), 0);
}

static void wheel_versions(void)
{
	place p;
	std::string libs = p.folder(".nixl_cu12.mesonpy.libs");
	std::string others = p.folder("nixl_cu12.libs");

	CHECK_STR(guard_wheel_version(libs + "/libnixl.so").c_str(), "");
	p.folder("nixl_cu13-9.9.9.dist-info");
	p.folder("nixl_cu12-1.2.3.dist-info");
	p.folder("nixl-1.0.0.dist-info");
	CHECK_STR(guard_wheel_version(libs + "/libnixl.so").c_str(), "1.2.3");
	CHECK_STR(guard_wheel_version(others + "/libnixl.so").c_str(), "1.2.3");
	std::string elsewhere = p.folder("lib");

	CHECK_STR(guard_wheel_version(elsewhere + "/libnixl.so").c_str(), "");
	CHECK_STR(guard_wheel_version("libnixl.so").c_str(), "");
}

static void table_sizes(void)
{
	place p;
	std::string plugins = p.folder("plugins");

	CHECK_EQ(guard_table_bytes(plugins), 0);
	CHECK_EQ(guard_table_bytes("/nonexistent"), 0);
	CHECK_EQ(system(("echo no > " + plugins + "/libplugin_A.so").c_str()),
		 0);
	CHECK_EQ(guard_table_bytes(plugins), 0);
	copy(beside("libfake_nixl_old.so"), plugins + "/libplugin_B.so");
	CHECK_EQ(guard_table_bytes(plugins), 0);
	copy(beside("libfake_table_known.so"), plugins + "/other.so");
	CHECK_EQ(guard_table_bytes(plugins), 0);
	copy(beside("libfake_table_known.so"), plugins + "/libplugin_C.so");
	CHECK_EQ(guard_table_bytes(plugins), 29 * 8);
}

/* ---- the plugin itself ------------------------------------------------ */

/* What init says to a NIXL at that path, and what is said about it. */
static bool let_in(const std::string &nixl, std::string *said)
{
	using init_fn = void *(*)(void);
	using call_fn = void *(*)(init_fn);
	const char *folder = getenv("TEST_NIXL_PLUGINS");
	char log[4096];

	CHECK(folder);
	void *plugin =
		dlopen((std::string(folder) + "/libplugin_TCPX.so").c_str(),
		       RTLD_NOW | RTLD_LOCAL);
	void *library = dlopen(nixl.c_str(), RTLD_NOW | RTLD_LOCAL);

	if (!plugin || !library)
		check_fail(CHECK_AT, "%s", dlerror());
	auto init =
		reinterpret_cast<init_fn>(dlsym(plugin, "nixl_plugin_init"));
	auto call = reinterpret_cast<call_fn>(dlsym(library, "fake_init"));

	CHECK(init && call);
	FILE *file = tmpfile();
	int err = dup(2);

	CHECK(file && err >= 0);
	dup2(fileno(file), 2);
	bool in = call(init) != nullptr;

	dup2(err, 2);
	close(err);
	ssize_t n = pread(fileno(file), log, sizeof(log), 0);

	fclose(file);
	dlclose(library);
	said->assign(log, static_cast<size_t>(n > 0 ? n : 0));
	fprintf(stderr, "%s", said->c_str());
	return in;
}

static bool has(const std::string &text, const std::string &part)
{
	return text.find(part) != std::string::npos;
}

static void wheel_of(const char *version, const char *fake, bool good,
		     const char *words)
{
	place p;
	std::string libs = p.folder(".nixl_cu12.mesonpy.libs"), said;

	p.folder(std::string("nixl_cu12-") + version + ".dist-info");
	copy(beside(fake), libs + "/libnixl.so");
	CHECK_EQ(let_in(libs + "/libnixl.so", &said), good);
	CHECK(has(said, words));
	CHECK_EQ(said.empty(), good);
	setenv(GUARD_OVERRIDE, "1", 1);
	CHECK(let_in(libs + "/libnixl.so", &said));
	CHECK(said.empty());
	unsetenv(GUARD_OVERRIDE);
}

static void wheels(void)
{
	wheel_of("1.0.0", "libfake_nixl_new.so", true, "");
	wheel_of("1.5.1", "libfake_nixl_new.so", true, "");
	wheel_of("1.6.0", "libfake_nixl_new.so", false, "it is NIXL 1.6.0");
	wheel_of("1.6.0", "libfake_nixl_new.so", false, GUARD_RANGE);
	wheel_of("1.6.0", "libfake_nixl_new.so", false, GUARD_OVERRIDE "=1");
	wheel_of("0.9.0", "libfake_nixl_old.so", false, "older than 1.0.0");
}

static void built_from_source(void)
{
	place p;
	std::string libs = p.folder("lib"), said;
	std::string plugins = p.folder("lib/plugins");

	copy(beside("libfake_nixl_new.so"), libs + "/libnixl.so");
	unsetenv("NIXL_PLUGIN_DIR");
	CHECK(!let_in(libs + "/libnixl.so", &said));
	CHECK(has(said, "cannot be found out"));
	copy(beside("libfake_table_known.so"), plugins + "/libplugin_UCX.so");
	CHECK(let_in(libs + "/libnixl.so", &said));
	copy(beside("libfake_table_other.so"), plugins + "/libplugin_UCX.so");
	CHECK(!let_in(libs + "/libnixl.so", &said));
	CHECK(has(said, "another one (240 bytes, known: 232)"));
}

static const struct check_case cases[] = {
	{"known_versions", known_versions, 0},
	{"wheel_versions", wheel_versions, 0},
	{"table_sizes", table_sizes, 0},
	{"wheels", wheels, 0},
	{"built_from_source", built_from_source, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
