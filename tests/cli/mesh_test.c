/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx mesh: several ranks on this machine, started in each of its ways, and
 * what is said when one is missing. */
#include "check.h"
#include "cli/cli.h"
#include "cli/keys.h"

#include <signal.h>

#define BROKE 1
#define USAGE 2
#define SETUP 3

#define RANKS_MAX 8

static struct cli ranks[RANKS_MAX];

static unsigned port(void)
{
	return 29000 + (unsigned)getpid() % 1000;
}

static void set_up(void)
{
	setenv("TCPX_SECRET", "a secret", 1);
	setenv("TCPX_IFNAMES", "lo", 1);
	setenv("TCPX_GPU", "host", 1);
}

/* Rank 0 last: the others wait for it. */
static void start(unsigned n, const char *more)
{
	char line[512];

	for (unsigned i = n; i-- > 0;) {
		snprintf(line, sizeof(line),
			 "mesh --rank %u --ranks %u --root 127.0.0.1:%u %s", i,
			 n, port(), more);
		cli_start(&ranks[i], line);
	}
}

/* All of them; each with that exit status. */
static void end(unsigned n, int status)
{
	for (unsigned i = 0; i < n; i++) {
		cli_end(&ranks[i]);
		if (ranks[i].status != status) {
			fprintf(stderr, "%s", ranks[i].err.text);
			check_fail(CHECK_AT, "rank %u: exit status %d", i,
				   ranks[i].status);
		}
		if (i)
			cli_silent(&ranks[i].out);
	}
}

static void free_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cli_free(&ranks[i]);
}

static const json_t *at(const json_t *json, const char *key, size_t i)
{
	return json_array_get(json_object_get(json, key), i);
}

static json_int_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void check_pair(const json_t *json, const json_t *pair)
{
	const json_t *row = at(json, "matrix", (size_t)integer(pair, "from"));
	double speed =
		json_number_value(json_object_get(pair, "gigabytes_per_s"));

	cli_keys(pair, MESH_PAIR_KEYS);
	CHECK(speed > 0);
	CHECK(json_number_value(json_array_get(
		      row, (size_t)integer(pair, "to"))) == speed);
	CHECK(json_number_value(json_object_get(
		      json_object_get(json, "slowest"), "gigabytes_per_s")) <=
	      speed);
	CHECK_STR(string(pair, "transport"), "socket");
	CHECK(json_is_true(json_object_get(pair, "verified")));
	CHECK(json_is_null(json_object_get(pair, "failure")));
}

/* The report of rank 0: as many devices and pairs, all held. */
static json_t *report(size_t n_devices, size_t n_pairs)
{
	json_t *json = cli_json(&ranks[0]);
	const json_t *one;
	size_t i;

	cli_keys(json, MESH_KEYS);
	cli_keys(json_object_get(json, "settings"), MESH_SETTINGS_KEYS);
	CHECK(json_is_true(json_object_get(json, "held")));
	CHECK(json_is_null(json_object_get(json, "failure")));
	CHECK_EQ(json_array_size(json_object_get(json, "matrix")), n_devices);
	json_array_foreach(json_object_get(json, "devices"), i, one)
	{
		cli_keys(one, MESH_DEVICE_KEYS);
		CHECK_EQ(integer(one, "device"), i);
	}
	CHECK_EQ(i, n_devices);
	json_array_foreach(json_object_get(json, "pairs"), i, one)
		check_pair(json, one);
	CHECK_EQ(i, n_pairs);
	return json;
}

/* Host memory: a device a rank, every pair both ways. */
static void host_memory(void)
{
	static const char *const ops[] = {"write", "read"};
	char line[128];
	json_t *json;

	set_up();
	for (int i = 0; i < 2; i++) {
		snprintf(line, sizeof(line),
			 "--json --mem host --size 256K --iters 5 --op %s "
			 "--outstanding 3",
			 ops[i]);
		start(4, line);
		end(4, 0);
		json = report(4, 12);
		CHECK_STR(string(at(json, "devices", 3), "mem"), "host");
		CHECK_EQ(integer(at(json, "devices", 3), "rank"), 3);
		json_decref(json);
		free_all(4);
	}
}

/* All GPUs of a process; pairs of one process are none. */
static void all_gpus(void)
{
	json_t *json;

	set_up();
	start(2, "--json --size 64K --iters 3");
	end(2, 0);
	json = report(4, 8);
	CHECK_STR(string(at(json, "devices", 1), "mem"), "gpu:1");
	CHECK_EQ(integer(at(json, "devices", 1), "rank"), 0);
	CHECK(string(at(json, "devices", 1), "gpu")[0]);
	CHECK(json_is_null(json_array_get(at(json, "matrix", 0), 1)));
	json_decref(json);
	free_all(2);
}

/* The table: one of the pairs is marked, and it fits. */
static void table(void)
{
	const char *mark;

	set_up();
	start(4, "--mem host --size 64K --iters 3 --no-verify");
	end(4, 0);
	cli_says(&ranks[0].out, "GB/s from row to column");
	mark = strchr(ranks[0].out.text, '*');
	CHECK(mark);
	mark = strchr(mark + 1, '*');
	CHECK(mark && !strncmp(mark, "* slowest: ", 11));
	cli_says(&ranks[0].out, "median of 12 pairs");
	cli_says(&ranks[0].out, "bytes were not checked");
	cli_fits(&ranks[0].out, 80);
	cli_silent(&ranks[0].err);
	free_all(4);
}

/* ---- launchers --------------------------------------------------------- */

struct launcher {
	const char *rank, *ranks, *local_rank, *local_ranks;
	const char *local_ranks_text;
};

static void set_number(const char *variable, unsigned n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	setenv(variable, text, 1);
}

/* Two processes of one host: each has the GPU of its number. */
static void launch(const struct launcher *launcher)
{
	json_t *json;

	set_up();
	set_number("TCPX_PORT", port());
	set_number(launcher->ranks, 2);
	setenv(launcher->local_ranks, launcher->local_ranks_text, 1);
	for (unsigned i = 2; i-- > 0;) {
		set_number(launcher->rank, i);
		set_number(launcher->local_rank, i);
		cli_start(&ranks[i], "mesh --json --size 64K --iters 2");
	}
	end(2, 0);
	json = report(2, 2);
	CHECK_STR(string(at(json, "devices", 0), "mem"), "gpu:0");
	CHECK_STR(string(at(json, "devices", 1), "mem"), "gpu:1");
	json_decref(json);
	free_all(2);
}

static void by_mpirun(void)
{
	static const struct launcher ompi = {"OMPI_COMM_WORLD_RANK",
					     "OMPI_COMM_WORLD_SIZE",
					     "OMPI_COMM_WORLD_LOCAL_RANK",
					     "OMPI_COMM_WORLD_LOCAL_SIZE", "2"};

	/* inside a Slurm job, which it beats */
	setenv("SLURM_PROCID", "0", 1);
	setenv("SLURM_NTASKS", "1", 1);
	launch(&ompi);
}

static void by_mpiexec(void)
{
	static const struct launcher pmi = {"PMI_RANK", "PMI_SIZE",
					    "MPI_LOCALRANKID",
					    "MPI_LOCALNRANKS", "2"};

	launch(&pmi);
}

static void by_srun(void)
{
	static const struct launcher slurm = {"SLURM_PROCID", "SLURM_NTASKS",
					      "SLURM_LOCALID",
					      "SLURM_STEP_TASKS_PER_NODE",
					      "2(x2)"};

	/* the first of the list is where rank 0 is */
	setenv("SLURM_STEP_NODELIST", "local[host-other,7],b[1-2]", 1);
	launch(&slurm);
}

/* The same line everywhere: who we are is found by the name. Here both are
 * this machine, so each must be told. */
static void by_hosts(void)
{
	char line[256];
	json_t *json;

	set_up();
	snprintf(line, sizeof(line),
		 "mesh --json --hosts localhost:%u,127.0.0.1 --mem host "
		 "--size 64K --rank 0",
		 port());
	cli_start(&ranks[0], line);
	line[strlen(line) - 1] = '1';
	cli_start(&ranks[1], line);
	end(2, 0);
	json = report(2, 2);
	json_decref(json);
	free_all(2);
}

/* One process with host memory only: said in the singular. */
static void alone(void)
{
	struct cli cli;

	set_up();
	CHECK_EQ(cli_run(&cli, "mesh --rank 0 --ranks 1 --root 127.0.0.1 "
			       "--mem host --iters 1"),
		 SETUP);
	cli_says(&cli.out, " mesh: 1 rank, ");
	cli_says(&cli.out, ", 1 time, ");
	cli_says(&cli.err, "one process alone has no pairs");
	cli_free(&cli);
}

/* Where two of them are this machine, the help says what to do. */
static void help(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, "mesh --help"), 0);
	cli_says(&cli.out, "named twice needs --rank");
	cli_free(&cli);
}

static void nowhere(void)
{
	static const char *const lines[][2] = {
		{"mesh", "which rank is this?"},
		{"mesh --rank 0", "--rank and --ranks go together"},
		{"mesh --rank 2 --ranks 2 --root x", "ranks go from 0 to 1"},
		{"mesh --rank 0 --ranks 2", "where is rank 0? --root"},
		{"mesh --rank 0 --ranks 2 --root x:y", "--root x:y: HOST"},
		{"mesh --rank 0 --ranks 2 --root [::1]junk",
		 "--root [::1]junk: HOST"},
		{"mesh --hosts localhost,127.0.0.1:x",
		 "--hosts: \"127.0.0.1:x\" is no HOST[:PORT]"},
		{"mesh --hosts 203.0.113.1,203.0.113.2",
		 "this host is none of --hosts"},
		{"mesh --hosts 127.0.0.1,203.0.113.2,127.0.0.1",
		 "2 of these are this host, so which of them this process is"},
		{"mesh --hosts localhost,127.0.0.1:7000",
		 "--hosts localhost,127.0.0.1:7000: 2 of these are this host"},
		{"mesh --hosts 127.0.0.1 --rank 1", "--hosts names 1"},
		{"mesh --op send", "--op send: write or read"},
		{"mesh --mem disk", "--mem disk: host, gpu or gpu:N"},
		{"mesh --iters 0", "--iters 0: a number from 1"},
		{"mesh --count=0", "--count 0: a number from 1"},
		{"mesh --size 0", "--size 0: a size"},
		{"mesh --join-timeout 2h", "--join-timeout 2h: a time"},
		{"mesh extra", "Too many arguments"},
	};
	struct cli cli;

	set_up();
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		if (cli_run(&cli, lines[i][0]) != USAGE)
			check_fail(CHECK_AT, "tcpx %s: exit status %d: %s",
				   lines[i][0], cli.status, cli.err.text);
		cli_says(&cli.err, lines[i][1]);
		cli_silent(&cli.out);
		cli_free(&cli);
	}
	setenv("OMPI_COMM_WORLD_RANK", "0", 1);
	setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
	CHECK_EQ(cli_run(&cli, "mesh"), USAGE);
	cli_says(&cli.err, "where is rank 0? --root HOST[:PORT] says it, "
			   "mpirun does not");
	cli_free(&cli);
	unsetenv("TCPX_SECRET");
	CHECK_EQ(cli_run(&cli, "mesh --rank 0 --ranks 1"), SETUP);
	cli_says(&cli.err, "no secret: set TCPX_SECRET");
	cli_free(&cli);
}

/* ---- somebody is missing ------------------------------------------------ */

#define HOST_MEMORY "--mem host --join-timeout 1500ms "

/* Who did not come; those that did are told. */
static void does_not_come(void)
{
	char line[256];
	json_t *json;

	set_up();
	for (unsigned i = 3; i-- > 0;) {
		snprintf(
			line, sizeof(line),
			"mesh --json --rank %u --ranks 5 --root 127.0.0.1:%u " HOST_MEMORY,
			i == 1 ? 3 : i, port());
		cli_start(&ranks[i], line);
	}
	end(3, SETUP);
	cli_says(&ranks[0].err, "ranks 1, 4 of 5 did not come within 1.5 s");
	cli_says(&ranks[0].err, "; nobody was sent away\n");
	cli_says(&ranks[1].err, "rank 3: rank 0 has ended it: ranks 1, 4");
	json = cli_json(&ranks[0]);
	cli_keys(json, MESH_KEYS);
	CHECK(strstr(string(json, "failure"), "ranks 1, 4 of 5"));
	CHECK(!json_is_true(json_object_get(json, "held")));
	CHECK_EQ(json_array_size(json_object_get(json, "pairs")), 0);
	json_decref(json);
	free_all(3);
}

static void root_does_not_come(void)
{
	char line[256];

	set_up();
	snprintf(line, sizeof(line),
		 "mesh --rank 1 --ranks 2 --root 127.0.0.1:%u " HOST_MEMORY,
		 port());
	CHECK_EQ(cli_run(&ranks[0], line), SETUP);
	snprintf(line, sizeof(line),
		 "rank 1: rank 0 cannot be reached at 127.0.0.1, port %u",
		 port());
	cli_says(&ranks[0].err, line);
	cli_says(&ranks[0].err, "Connection refused");
	cli_free(&ranks[0]);
}

/* Two that are the same rank, and one with another secret. */
static void not_welcome(void)
{
	char line[256];

	set_up();
	for (unsigned i = 0; i < 3; i++) {
		snprintf(line, sizeof(line),
			 "mesh --rank %u --ranks 3 --root 127.0.0.1:%u --mem "
			 "host",
			 i ? 1 : 0, port());
		cli_start(&ranks[i], line);
	}
	end(3, SETUP);
	cli_says(&ranks[0].err, "two processes are rank 1: on ");
	cli_says(&ranks[1].err, "two processes are rank 1: on ");
	cli_says(&ranks[2].err, "two processes are rank 1: on ");
	free_all(3);
	snprintf(line, sizeof(line),
		 "mesh --ranks 2 --root 127.0.0.1:%u " HOST_MEMORY "--rank 0",
		 port());
	cli_start(&ranks[0], line);
	setenv("TCPX_SECRET", "another", 1);
	line[strlen(line) - 1] = '1';
	cli_start(&ranks[1], line);
	end(2, SETUP);
	cli_says(&ranks[0].err, "rank 1 of 2 did not come");
	cli_says(&ranks[0].err,
		 "one was sent away: connection from 127.0.0.1:");
	cli_says(&ranks[0].err, "it has another secret");
	cli_says(&ranks[1].err, "it has another secret");
	free_all(2);
}

/* A rank that cannot begin says so, and all end at once. */
static void cannot_begin(void)
{
	set_up();
	/* which of them is heard first is open; the other may come too late */
	start(2, "--mem gpu:7 --join-timeout 1500ms");
	end(2, SETUP);
	cli_says(&ranks[0].err, "cannot begin: no GPU 7 here");
	free_all(2);
	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/libnccl-net.so", 1);
	start(2, "--transport netplugin " HOST_MEMORY);
	end(2, SETUP);
	cli_says(&ranks[0].err, "cannot begin: its session cannot be opened");
	cli_says(&ranks[1].err, "/nowhere/libnccl-net.so");
	free_all(2);
}

static bool file_has(const char *path, const char *text)
{
	char buf[16384] = "";
	FILE *file = fopen(path, "r");
	size_t n;

	if (!file)
		return false;
	n = fread(buf, 1, sizeof(buf) - 1, file);
	buf[n] = '\0';
	fclose(file);
	return strstr(buf, text);
}

/* Three ranks in a transfer that does not end by itself. */
static void start_long(char *dir)
{
	char line[256], path[512], host[64];
	bool begun = false;

	set_up();
	setenv("TCPX_LIVENESS_MS", "1000", 1);
	CHECK(mkdtemp(dir));
	CHECK_EQ(gethostname(host, sizeof(host)), 0);
	snprintf(line, sizeof(line),
		 "--mem host --size 16M --iters 1000000 --log-dir %s", dir);
	start(3, line);
	/* the first pair is from 0 to 1 */
	snprintf(path, sizeof(path), "%s/%s-rank1-host.log", dir, host);
	while (!begun) {
		usleep(20000);
		begun = file_has(path, "for rank 0: memory is ready");
	}
}

static void remove_all(const char *dir)
{
	char line[256];

	snprintf(line, sizeof(line), "rm -r %s", dir);
	CHECK_EQ(system(line), 0);
}

/* Killed, or stopped, in the middle: all others end, and say who it was. */
static void dies(unsigned who, int number)
{
	char dir[] = "/tmp/tcpx-mesh-XXXXXX", text[32], path[512], host[64];

	start_long(dir);
	kill(ranks[who].pid, number);
	snprintf(text, sizeof(text), "rank %u on ", who);
	for (unsigned i = 0; i < 3; i++) {
		if (i == who)
			continue;
		cli_end(&ranks[i]);
		CHECK_EQ(ranks[i].status, BROKE);
		cli_says(&ranks[i].err, text);
		cli_says(&ranks[i].err, " is gone: ");
	}
	cli_says(&ranks[0].out, "GB/s from row to column");
	cli_stop(&ranks[who], SIGKILL);
	/* what the library says is in the logs, too */
	CHECK_EQ(gethostname(host, sizeof(host)), 0);
	snprintf(path, sizeof(path), "%s/%s-rank0-host.log", dir, host);
	CHECK(file_has(path, "warning: peer: lost peer"));
	free_all(3);
	remove_all(dir);
}

static void is_killed(void)
{
	dies(1, SIGKILL);
	dies(2, SIGKILL);
}

static void is_stopped(void)
{
	dies(2, SIGSTOP);
}

static void root_is_killed(void)
{
	char dir[] = "/tmp/tcpx-mesh-XXXXXX";

	start_long(dir);
	cli_stop(&ranks[0], SIGKILL);
	for (int i = 1; i < 3; i++) {
		cli_end(&ranks[i]);
		CHECK_EQ(ranks[i].status, BROKE);
		cli_says(&ranks[i].err, "rank 0 is gone: ");
	}
	free_all(3);
	remove_all(dir);
}

/* A pair that fails is a word in the matrix, and the others go on. */
static void pair_fails(void)
{
	json_t *json;

	set_up();
	setenv("TCPX_GPU_HOST_FAULT", "break:3", 1);
	start(2, "--json --mem gpu:0 --size 64K");
	end(2, BROKE);
	json = cli_json(&ranks[0]);
	cli_keys(json, MESH_KEYS);
	CHECK(json_is_null(json_object_get(json, "failure")));
	CHECK_EQ(json_array_size(json_object_get(json, "pairs")), 2);
	CHECK(strstr(string(at(json, "pairs", 0), "failure"), "GPU"));
	cli_keys(at(json, "pairs", 0), MESH_PAIR_KEYS);
	json_decref(json);
	free_all(2);
}

/* A file a GPU, with its pairs, each pair in two of them. */
static void logs(void)
{
	char dir[] = "/tmp/tcpx-mesh-XXXXXX", line[256], path[512], host[64];

	set_up();
	CHECK(mkdtemp(dir));
	CHECK_EQ(gethostname(host, sizeof(host)), 0);
	snprintf(line, sizeof(line), "--size 64K --iters 2 --log-dir %s/new",
		 dir);
	start(2, line);
	end(2, 0);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/new/%s-rank%d-gpu%d.log", dir,
			 host, i / 2, i % 2);
		CHECK(file_has(path,
			       i / 2 ? "with rank 0: " : "with rank 1: "));
		CHECK(file_has(path, " GB/s, p50 "));
		CHECK(file_has(path,
			       i / 2 ? "for rank 0: every byte is right" :
				       "for rank 1: every byte is right"));
	}
	free_all(2);
	remove_all(dir);
	CHECK_EQ(cli_run(&ranks[0], "mesh --rank 0 --ranks 1 --log-dir "
				    "/nowhere/at/all --join-timeout 1s"),
		 SETUP);
	cli_says(&ranks[0].err, "--log-dir /nowhere/at/all: No such file");
	cli_free(&ranks[0]);
}

static const struct check_case cases[] = {
	{"host_memory", host_memory, 60},
	{"all_gpus", all_gpus, 60},
	{"table", table, 60},
	{"by_mpirun", by_mpirun, 60},
	{"by_mpiexec", by_mpiexec, 60},
	{"by_srun", by_srun, 60},
	{"by_hosts", by_hosts, 60},
	{"alone", alone, 60},
	{"help", help, 60},
	{"nowhere", nowhere, 60},
	{"does_not_come", does_not_come, 60},
	{"root_does_not_come", root_does_not_come, 60},
	{"not_welcome", not_welcome, 60},
	{"cannot_begin", cannot_begin, 60},
	{"is_killed", is_killed, 60},
	{"is_stopped", is_stopped, 60},
	{"root_is_killed", root_is_killed, 60},
	{"pair_fails", pair_fails, 60},
	{"logs", logs, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
