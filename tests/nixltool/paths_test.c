/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx nixl paths: descriptions of living processes are shown, those of dead
 * ones are dropped, and nothing in them can disturb. */
#include "check.h"
#include "site.h"

#include <sys/stat.h>

static long long start_ticks(pid_t pid)
{
	char path[64], line[1024], *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	CHECK(f && fgets(line, sizeof(line), f));
	fclose(f);
	at = strrchr(line, ')');
	for (int i = 0; i < 20; i++)
		at = strchr(at + 1, ' ');
	return atoll(at + 1);
}

static long long pid_namespace(void)
{
	struct stat st;

	CHECK_EQ(stat("/proc/self/ns/pid", &st), 0);
	return (long long)st.st_ino;
}

static const char peer[] =
	"{\"name\": \"decode\\u001b[31m-0\", "
	"\"state\": \"connected\", \"cause\": \"\", \"pairs\": [{\"local\": "
	"\"host\", \"remote\": \"cuda:3\", \"transport\": \"socket\", \"rails\": "
	"[{\"rail\": 0, \"ifname\": \"eth1\", \"flows\": 2}, {\"rail\": 1, "
	"\"ifname\": \"eth2\", \"flows\": 2}], \"flows\": 4, \"why\": \"plain "
	"TCP is always there\", \"rejected\": [{\"transport\": \"netplugin\", "
	"\"why\": \"no plugin was found\"}]}]}";

static void describe(const char *file, long long pid, long long ticks,
		     long long space, const char *agent)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "{\"format\": 1, \"pid\": %lld, \"start_ticks\": %lld, "
		 "\"pid_namespace\": %lld, \"agent\": \"%s\", \"version\": "
		 "\"0.1.0\", \"port\": 4711, \"peers\": [%s]}",
		 pid, ticks, space, agent, peer);
	site_write(file, text);
}

static void folder(void)
{
	site_make();
	CHECK_EQ(mkdir("d", 0700), 0);
	setenv("TCPX_DESCRIBE_DIR", "d", 1);
}

static void shown(void)
{
	json_t *all, *list;
	char *out;

	folder();
	describe("d/1-prefill.json", getpid(), start_ticks(getpid()),
		 pid_namespace(), "prefill-0");
	CHECK_EQ(site_run("paths"), 0);
	out = site_read("out");
	CHECK(strstr(out, "agent prefill-0"));
	CHECK(strstr(out, "peer decode?[31m-0, connected\n"));
	CHECK(strstr(out,
		     "host to cuda:3: by socket over eth1, eth2, 4 flows"));
	CHECK(strstr(out, "plain TCP is always there"));
	CHECK(strstr(out, "not by netplugin: no plugin was found"));
	CHECK(!strchr(out, 27));
	free(out);
	all = site_json("paths", 0);
	list = json_object_get(all, "processes");
	CHECK_EQ(json_array_size(list), 1);
	CHECK_STR(site_text(json_array_get(list, 0), "agent"), "prefill-0");
	json_decref(all);
	site_unmake();
}

static void dead_dropped(void)
{
	pid_t pid;
	int status;

	folder();
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, &status, 0);
	describe("d/dead.json", pid, 1, pid_namespace(), "dead");
	/* The same number, but another process since. */
	describe("d/reused.json", getpid(), start_ticks(getpid()) - 1,
		 pid_namespace(), "reused");
	describe("d/elsewhere.json", pid, 1, pid_namespace() + 1, "elsewhere");
	CHECK_EQ(site_run("paths"), 0);
	CHECK(!site_has("d/dead.json"));
	CHECK(!site_has("d/reused.json"));
	CHECK(site_has("d/elsewhere.json"));
	CHECK_EQ(system("grep -q 'agent elsewhere' out"), 0);
	site_unmake();
}

static void not_descriptions(void)
{
	folder();
	site_write("d/broken.json", "{\"pid\": ");
	site_write("d/empty.json", "");
	site_write("d/list.json", "[1, 2]");
	site_write("d/other.txt", "x");
	site_write("d/.1-a.json.tmp", "half a fi");
	site_write("elsewhere", "{\"pid\": 1}");
	CHECK_EQ(symlink("../elsewhere", "d/link.json"), 0);
	CHECK_EQ(mkfifo("d/fifo.json", 0600), 0);
	CHECK_EQ(site_run("paths"), 0);
	CHECK_EQ(system("grep -q 'no process' out"), 0);
	CHECK(site_has("d/broken.json") && site_has("d/other.txt"));
	CHECK(site_has("elsewhere"));
	site_unmake();
}

static void no_folder(void)
{
	json_t *all;

	site_make();
	setenv("TCPX_DESCRIBE_DIR", "nowhere", 1);
	all = site_json("paths", 0);
	CHECK_EQ(json_array_size(json_object_get(all, "processes")), 0);
	json_decref(all);
	setenv("TCPX_DESCRIBE_DIR", "", 1);
	CHECK_EQ(site_run("paths"), 0);
	site_write("file", "x");
	CHECK_EQ(site_run("paths --dir file"), 3);
	CHECK_EQ(site_run("paths --dir nowhere"), 3);
	CHECK_EQ(system("grep -q 'error: nowhere: No such file' err"), 0);
	CHECK_EQ(system("test ! -s out"), 0);
	site_unmake();
}

static void somebody_elses_folder(void)
{
	if (geteuid() != 0)
		SKIP("only root can make somebody else's folder");
	folder();
	describe("d/1-a.json", getpid(), start_ticks(getpid()), pid_namespace(),
		 "forged");
	CHECK_EQ(chown("d", 65534, 65534), 0);
	CHECK_EQ(site_run("paths"), 3);
	/* Unless it is asked for by name. */
	CHECK_EQ(site_run("paths --dir d"), 0);
	site_unmake();
}

static const struct check_case cases[] = {
	{"shown", shown, 0},
	{"dead_dropped", dead_dropped, 0},
	{"not_descriptions", not_descriptions, 0},
	{"no_folder", no_folder, 0},
	{"somebody_elses_folder", somebody_elses_folder, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
