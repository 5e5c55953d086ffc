/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: compare [--gpu host|cuda [--pool imported|plain|host]]
 *                speed|channels|cost PLUGIN.so [ROUNDS [CHANNELS]]
 * The net plugin transport, in process and in a helper, against a bare loop of
 * isend, irecv, test and irecvConsumed over the same plugin, both ends in one
 * process. Without --gpu in host memory. With it slots, pages and where chunks
 * are put together are a GPU's, and a job of src/gpu a chunk puts them there,
 * for all alike: on the pretend GPU without its delays, or a real one. --pool
 * says of what kind the pages are (DOUBLE_POOL_KIND, imported); on a real GPU
 * those that are not plain are a daemon's, started for it.
 *
 *   speed     1, 2, 4 and 8 channels (or so many only) as fast as they go. On a GPU the helper
 *             lends its pages, and once more with that forbidden. In host
 *             memory it copies what comes once more than the others: so the
 *             bare loop also with that copy, which says what of the difference
 *             it is
 *   channels  the same with each channel held to RATE_MBPS, as a network card
 *             holds a flow: what n channels carry, of n times one
 *   cost      over the null plugin beside this: nanoseconds a chunk, from post
 *             to consumed; in process on a thread that has SIGPIPE shut for
 *             good and on one that has not, and through the helper, which
 *             copies each chunk. Host memory only
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
#include "pool.h"
#include "support/proc.h"

#define TOTAL_CHUNKS 1024u
#define WARM_CHUNKS 512u /* on a GPU */
#define COST_CHUNKS 200000u
#define RATE_MBPS 32u
#define RATE_CHUNKS 40u
#define ROUNDS_MAX 51
/* With the pretend GPU; from here, also where a build was carried to. */
#define PRETEND_HELPER "../../tests/netplugin/helper-pretend"

typedef uint64_t way_fn(const struct run *run);

static const char *plugin, *gpu, *pool = "imported";
static int rounds = 5, only_channels;

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
	run.gpu = gpu;
	if (pipe(fds))
		compare_die("no pipe");
	pid_t pid = fork();
	if (pid == 0) {
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
	return (double)(run.n_chunks - run.n_warm) * run.n_channels *
	       COMPARE_CHUNK / (double)ns;
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

struct way {
	const char *name;
	way_fn *run;
	unsigned n_copies;
	bool isolated, copies;
};

static const struct way on_host[] = {
	{"bare", compare_bare, 1, false, false},
	{"in process", compare_ours, 1, false, false},
	{"helper", compare_ours, 1, true, false},
	{"bare, 2 copies", compare_bare, 2, false, false},
};

static const struct way on_gpu[] = {
	{"bare", compare_bare, 1, false, false},
	{"in process", compare_ours, 1, false, false},
	{"helper, lent", compare_ours, 1, true, false},
	{"helper, copied", compare_ours, 1, true, true},
};
#define WAYS 4

/* GB/s, and of the first way. */
static void speed_of(int n, const struct way *ways)
{
	double seen[WAYS][ROUNDS_MAX], ratios[WAYS][ROUNDS_MAX];
	unsigned warm = gpu ? WARM_CHUNKS : 0;

	for (int i = 0; i < rounds; i++) {
		for (int k = 0; k < WAYS; k++) {
			const struct run run = {
				.n_channels = n,
				.n_chunks = (TOTAL_CHUNKS + warm) / (unsigned)n,
				.n_warm = warm / (unsigned)n,
				.n_copies = ways[k].n_copies,
				.isolated = ways[k].isolated,
				.copies = ways[k].copies,
				.lends = gpu && ways[k].isolated &&
					 !ways[k].copies,
			};

			seen[k][i] = measure(ways[k].run, run);
			ratios[k][i] = seen[k][i] / seen[0][i];
		}
	}
	printf("%8d", n);
	for (int k = 0; k < WAYS; k++)
		printf("  %14.2f %5.2f", median(seen[k]), median(ratios[k]));
	printf("\n");
	fflush(stdout);
}

static void speed(void)
{
	const struct way *ways = gpu ? on_gpu : on_host;

	printf("channels");
	for (int k = 0; k < WAYS; k++)
		printf("  %14s ratio", ways[k].name);
	printf("   GB/s, of bare\n");
	for (int n = 1; n <= COMPARE_CHANNELS; n *= 2)
		if (!only_channels || n == only_channels)
			speed_of(n, ways);
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

/* The double's pages are the GPU's, in this process and in helpers. */
static void set_up_gpu(void)
{
	bool pretends = strcmp(gpu, "host") == 0;

	setenv("DOUBLE_MEMORY", pretends ? ":double_on_pretend_gpu" : "cuda",
	       0);
	/* All windows of all channels, and a few more. */
	setenv("DOUBLE_POOL_PAGES", "18432", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 0);
	setenv("TCPX_GPU_HOST_DELAY_US", "0", 0);
	setenv("DOUBLE_POOL_KIND", pool, 1);
	if (pretends)
		setenv("TCPX_NETPLUGIN_HELPER",
		       proc_path("TCPX_NETPLUGIN_HELPER", PRETEND_HELPER), 1);
	else if (strcmp(pool, "plain") != 0)
		pool_start(pool, plugin);
}

static const struct part {
	const char *name;
	void (*run)(void);
} parts[] = {{"speed", speed}, {"channels", channels}, {"cost", cost}};

/* Skips an option and its value. */
static bool option(int *argc, char ***argv, const char *name,
		   const char **value)
{
	if (*argc <= 2 || strcmp((*argv)[1], name) != 0)
		return false;
	*value = (*argv)[2];
	*argc -= 2;
	*argv += 2;
	return true;
}

int main(int argc, char **argv)
{
	const struct part *part = NULL;

	if (option(&argc, &argv, "--gpu", &gpu))
		option(&argc, &argv, "--pool", &pool);
	for (size_t i = 0; argc > 2 && i < sizeof(parts) / sizeof(*parts); i++)
		part = strcmp(argv[1], parts[i].name) == 0 ? &parts[i] : part;
	if (argc > 3)
		rounds = atoi(argv[3]);
	if (argc > 4)
		only_channels = atoi(argv[4]);
	if (!part || rounds < 1 || rounds > ROUNDS_MAX)
		compare_die("usage: compare "
			    "[--gpu host|cuda [--pool imported|plain|host]] "
			    "speed|channels|cost PLUGIN.so "
			    "[ROUNDS [CHANNELS]]");
	plugin = argv[2];
	set_up();
	if (gpu)
		set_up_gpu();
	part->run();
	pool_stop();
	return 0;
}
