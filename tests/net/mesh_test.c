/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx mesh between two hosts, each a namespace with a name of its own. */
#include <jansson.h>

#include "check.h"
#include "net/hosts.h"

static struct host hosts[2];
static char report[] = "/tmp/tcpx-mesh-XXXXXX";

static void set_up(void)
{
	int fd;

	hosts_need_root();
	fd = mkstemp(report);
	CHECK(fd >= 0);
	close(fd);
	host_create(&hosts[0]);
	host_create(&hosts[1]);
	hosts_link(&hosts[0], &hosts[1], "eth1", "10.7.0.1/24", "10.7.0.2/24");
}

/* The command on a host, in a process of its own; its output of rank 0 only. */
static pid_t start(int host, const char *line, bool first)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid)
		return pid;
	status = host_try(&hosts[host],
			  "unshare --uts sh -c 'hostname node%d; "
			  "TCPX_SECRET=abc TCPX_GPU=off exec %s mesh --json "
			  "--mem host --size 64K --iters 3 %s' >%s",
			  host, getenv("TEST_TOOL"), line,
			  first ? report : "/dev/null");
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

static void end(const pid_t *pids, int n)
{
	int status;

	for (int i = 0; i < n; i++) {
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_EQ(status, 0);
	}
}

/* How many pairs it measured, all held; none within a host unless all. */
static size_t pairs(bool all)
{
	json_t *json = json_load_file(report, 0, NULL);
	const json_t *devices = json_object_get(json, "devices"), *one;
	size_t i;

	CHECK(json_is_true(json_object_get(json, "held")));
	json_array_foreach(json_object_get(json, "pairs"), i, one)
	{
		const char *host[2];

		for (int k = 0; k < 2; k++)
			host[k] = json_string_value(json_object_get(
				json_array_get(
					devices,
					(size_t)json_integer_value(
						json_object_get(one,
								k ? "to" :
								    "from"))),
				"host"));
		CHECK(all || strcmp(host[0], host[1]));
	}
	json_decref(json);
	unlink(report);
	return i;
}

/* The very same line on both: each finds itself by its address. */
static void same_line(void)
{
	static const char line[] = "--hosts 10.7.0.1,10.7.0.2";
	pid_t pids[2];

	set_up();
	pids[1] = start(1, line, false);
	pids[0] = start(0, line, true);
	end(pids, 2);
	CHECK_EQ(pairs(false), 2);
}

static void two_a_host(const char *more, bool all, size_t n_pairs)
{
	char line[128];
	pid_t pids[4];

	set_up();
	for (int i = 0; i < 4; i++) {
		snprintf(line, sizeof(line),
			 "--rank %d --ranks 4 --root 10.7.0.1 %s", i, more);
		pids[i] = start(i / 2, line, i == 0);
	}
	end(pids, 4);
	CHECK_EQ(pairs(all), n_pairs);
}

/* What does not cross the network is left out. */
static void across(void)
{
	two_a_host("", false, 8);
}

static void all_pairs(void)
{
	two_a_host("--all", true, 12);
}

static const struct check_case cases[] = {
	{"same_line", same_line, 60},
	{"across", across, 60},
	{"all_pairs", all_pairs, 60},
};

int main(int argc, char **argv)
{
	if (!getenv("TEST_TOOL")) {
		printf("1..0 # SKIP TEST_TOOL is not set\n");
		return 0;
	}
	return CHECK_RUN(cases, argc, argv);
}
