/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: compare [speed|channels|cost] PLUGIN.so [ROUNDS]
 * The net plugin transport, in process and in a helper, against a bare loop of
 * isend, irecv, test and irecvConsumed over the same plugin, both ends in one
 * process, in host memory.
 *
 *   speed     1, 2, 4 and 8 channels as fast as they go. The helper copies
 *             what comes once more than the others: so the bare loop also with
 *             that copy, which says what of the difference it is
 *   channels  the same with each channel held to RATE_MBPS, as a network card
 *             holds a flow: what n channels carry, of n times one
 *   cost      over the null plugin beside this: nanoseconds a chunk, from post
 *             to consumed; in process on a thread that has SIGPIPE shut for
 *             good and on one that has not, and through the helper, which
 *             copies each chunk
 *
 * Each measurement is a process of its own; those of a round follow each
 * other, and ratios are of the same round. Prints medians. speed and channels
 * are meant for the double of tests/fakes/netplugin.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compare.h"

#define TOTAL_CHUNKS 1024u
#define COST_CHUNKS 200000u
#define RATE_MBPS 32u
#define RATE_CHUNKS 40u
#define ROUNDS_MAX 51

typedef uint64_t way_fn(const struct run *run);

static const char *plugin;
static int rounds = 5;

uint8_t *compare_target(void)
{
	static uint8_t target[2 * COMPARE_CHUNK];

	return target;
}

void compare_die(const char *what)
{
	fprintf(stderr, "compare: %s\n", what);
	exit(1);
}

/* In a process of its own: GB/s. */
static double measure(way_fn *way, struct run run)
{
	uint64_t ns = 0;
	int fds[2];

	run.path = plugin;
	if (pipe(fds))
		compare_die("no pipe");
	pid_t pid = fork();
	if (pid == 0) {
		memset(compare_target(), 1, 2 * (size_t)COMPARE_CHUNK);
		ns = way(&run);
		if (write(fds[1], &ns, sizeof(ns)) < 0)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &ns, sizeof(ns)) != sizeof(ns))
		compare_die("a measurement failed");
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return (double)run.n_chunks * run.n_channels * COMPARE_CHUNK /
	       (double)ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, (size_t)rounds, sizeof(*values), by_value);
	return values[rounds / 2];
}

/* ---- as fast as it goes ------------------------------------------------- */

static void speed_of(int n)
{
	double bare[ROUNDS_MAX], copied[ROUNDS_MAX], inside[ROUNDS_MAX],
		helper[ROUNDS_MAX], in_ratio[ROUNDS_MAX], out_ratio[ROUNDS_MAX],
		copied_ratio[ROUNDS_MAX];
	const struct run run = {.n_channels = n,
				.n_chunks = TOTAL_CHUNKS / (unsigned)n,
				.n_copies = 1};
	struct run twice = run, isolated = run;

	twice.n_copies = 2;
	isolated.isolated = true;
	for (int i = 0; i < rounds; i++) {
		bare[i] = measure(compare_bare, run);
		inside[i] = measure(compare_ours, run);
		helper[i] = measure(compare_ours, isolated);
		copied[i] = measure(compare_bare, twice);
		in_ratio[i] = inside[i] / bare[i];
		out_ratio[i] = helper[i] / bare[i];
		copied_ratio[i] = helper[i] / copied[i];
	}
	printf("%8d  %9.2f  %10.2f  %5.2f  %6.2f  %5.2f  %15.2f  %5.2f\n", n,
	       median(bare), median(inside), median(in_ratio), median(helper),
	       median(out_ratio), median(copied), median(copied_ratio));
	fflush(stdout);
}

static void speed(void)
{
	printf("channels  bare GB/s  in process  ratio  helper  ratio  "
	       "bare, 2 copies  ratio\n");
	for (int n = 1; n <= COMPARE_CHANNELS; n *= 2)
		speed_of(n);
}

/* ---- with a limit a channel ---------------------------------------------- */

static void scale(const char *name, way_fn *way, bool isolated)
{
	double seen[4][ROUNDS_MAX];
	int n_of[] = {1, 2, 4, 8};

	for (int i = 0; i < rounds; i++) {
		for (int k = 0; k < 4; k++) {
			const struct run run = {.n_channels = n_of[k],
						.n_chunks = RATE_CHUNKS,
						.n_copies = 1,
						.isolated = isolated};

			seen[k][i] = measure(way, run);
		}
		for (int k = 3; k >= 0; k--)
			seen[k][i] /= k ? seen[0][i] * n_of[k] : 1;
	}
	printf("%-10s  %9.1f  %5.3f  %5.3f  %5.3f\n", name,
	       median(seen[0]) * 1e3, median(seen[1]), median(seen[2]),
	       median(seen[3]));
	fflush(stdout);
}

static void channels(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", RATE_MBPS);
	setenv("DOUBLE_RATE_MBPS", text, 1);
	printf("            one, MB/s      2      4      8, of so many times "
	       "one\n");
	scale("bare", compare_bare, false);
	scale("in process", compare_ours, false);
	scale("helper", compare_ours, true);
}

/* ---- what driving costs --------------------------------------------------- */

static double chunk_ns(way_fn *way, struct run run)
{
	double all[ROUNDS_MAX];

	for (int i = 0; i < rounds; i++)
		all[i] = COMPARE_CHUNK / measure(way, run);
	return median(all);
}

static void cost(void)
{
	static const char *const fragments[] = {"1", "128"};
	const struct run run = {.n_channels = 8, .n_chunks = COST_CHUNKS / 8};
	struct run shut = run, isolated = run;

	shut.shut = true;
	isolated.isolated = true;
	printf("ns a chunk, both ends\n"
	       "fragments  bare  a thread of ours  any thread  by the helper\n");
	for (size_t k = 0; k < 2; k++) {
		setenv("NULL_PLUGIN_FRAGMENTS", fragments[k], 1);
		printf("%9s  %4.0f  %16.0f  %10.0f  %13.0f\n", fragments[k],
		       chunk_ns(compare_bare, run),
		       chunk_ns(compare_ours, shut),
		       chunk_ns(compare_ours, run),
		       chunk_ns(compare_ours, isolated));
	}
}

/* ---- which -------------------------------------------------------------- */

static void set_up(void)
{
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,daemon,pci,numa,device-memory",
	       0);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 0);
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "524288", 0);
	setenv("NCCL_NSOCKS_PERTHREAD", "1", 0);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 0);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "1000",
	       0);
	setenv("DOUBLE_MODE", "faithful", 0);
	setenv("DOUBLE_POISON", "0", 0);
	setenv("DOUBLE_FRAG_MIN", "4096", 0);
	setenv("DOUBLE_POOL_PAGES", "65536", 0);
}

static const struct part {
	const char *name;
	void (*run)(void);
} parts[] = {{"speed", speed}, {"channels", channels}, {"cost", cost}};

int main(int argc, char **argv)
{
	const struct part *part = NULL;

	for (size_t i = 0; argc > 2 && i < sizeof(parts) / sizeof(*parts); i++)
		part = strcmp(argv[1], parts[i].name) == 0 ? &parts[i] : part;
	if (argc > 3)
		rounds = atoi(argv[3]);
	if (!part || rounds < 1 || rounds > ROUNDS_MAX)
		compare_die("usage: compare speed|channels|cost PLUGIN.so "
			    "[ROUNDS]");
	plugin = argv[2];
	set_up();
	part->run();
	return 0;
}
