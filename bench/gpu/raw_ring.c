/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What TCP alone can do for staged transfers: as many flows, the same threads,
 * the same ring of slots, over loopback, and no GPU. Each flow has a ring of
 * slots that it sends from, or receives into, one after the other; a thread
 * goes round its flows without sleeping. Sender and receiver are two processes
 * with memory of their own.
 *
 * usage: raw_ring [--flows N] [--threads N] [--slots N] [--slot-bytes N]
 *                 [--gib N | --mib N] [--rounds N] [--both]
 *
 * threads: a side. One JSON object on standard output: GB/s of each round, one
 * way (with --both each way, the slower one), and the CPU time of both sides.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 64u

struct settings {
	uint32_t flows, threads, slots, slot_bytes, gib, mib, rounds;
	bool both;
};

/* One direction of one flow at one end. */
struct lane {
	int fd;
	bool sends;
	uint8_t *ring;
	uint64_t done, total;	/* bytes of this round */
	uint64_t end_ns;
};

struct side {
	const struct settings *settings;
	struct lane lanes[2 * FLOWS_MAX];
	uint32_t n_lanes, n_threads;
};

struct worker {
	struct side *side;
	uint32_t index;
	pthread_t thread;
};

static void die(const char *what)
{
	fprintf(stderr, "raw_ring: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- moving ----------------------------------------------------------------- */

/* At most to the end of a slot, as a transport has it. False: no progress. */
static bool step(const struct settings *settings, struct lane *lane)
{
	uint64_t ring_bytes = (uint64_t)settings->slots * settings->slot_bytes;
	uint64_t at = lane->done % ring_bytes;
	uint64_t len = settings->slot_bytes - at % settings->slot_bytes;
	ssize_t n;

	if (len > lane->total - lane->done)
		len = lane->total - lane->done;
	if (lane->sends)
		n = send(lane->fd, lane->ring + at, len,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = recv(lane->fd, lane->ring + at, len, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		die(lane->sends ? "send" : "recv");
	if (n <= 0)
		return false;
	lane->done += (uint64_t)n;
	if (lane->done == lane->total)
		lane->end_ns = now_ns();
	return true;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct side *side = worker->side;
	bool left = true;

	while (left) {
		left = false;
		for (uint32_t i = worker->index; i < side->n_lanes;
		     i += side->n_threads) {
			struct lane *lane = &side->lanes[i];

			if (lane->done < lane->total) {
				(void)step(side->settings, lane);
				left = true;
			}
		}
	}
	return NULL;
}

static void run_round(struct side *side)
{
	struct worker workers[2 * FLOWS_MAX];

	for (uint32_t i = 0; i < side->n_threads; i++) {
		workers[i] = (struct worker){.side = side, .index = i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("thread");
	}
	for (uint32_t i = 0; i < side->n_threads; i++)
		pthread_join(workers[i].thread, NULL);
}

/* ---- connections and memory ---------------------------------------------------- */

static uint64_t round_bytes(const struct settings *s)
{
	return s->mib ? (uint64_t)s->mib << 20 : (uint64_t)s->gib << 30;
}

static void add_lane(struct side *side, int fd, bool sends)
{
	const struct settings *s = side->settings;
	size_t bytes = (size_t)s->slots * s->slot_bytes;
	void *ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		die("memory");
	(void)madvise(ring, bytes, MADV_HUGEPAGE);
	memset(ring, 1, bytes);
	side->lanes[side->n_lanes++] =
		(struct lane){.fd = fd,
			      .sends = sends,
			      .ring = ring,
			      .total = round_bytes(s) / s->flows};
}

static void prepare(struct side *side, const struct settings *settings,
		    const int *fds, bool first)
{
	side->settings = settings;
	for (uint32_t i = 0; i < settings->flows; i++) {
		int one = 1;

		(void)setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof(one));
		add_lane(side, fds[i], first);
		if (settings->both)
			add_lane(side, fds[i], !first);
	}
	side->n_threads = settings->threads < side->n_lanes ?
				  settings->threads :
				  side->n_lanes;
}

static int listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = (struct sockaddr_in){.sin_family = AF_INET};
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)addr, sizeof(*addr)) ||
	    listen(fd, FLOWS_MAX) ||
	    getsockname(fd, (struct sockaddr *)addr, &len))
		die("listen");
	return fd;
}

/* ---- both sides ------------------------------------------------------------------ */

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void restart(struct side *side)
{
	for (uint32_t i = 0; i < side->n_lanes; i++)
		side->lanes[i].done = 0;
}

/* A token before each round, so that both begin together; the child answers
 * with what it used. */
static void child(struct side *side, int pipe_in, int pipe_out)
{
	double used, before;
	char token;

	while (read(pipe_in, &token, 1) == 1) {
		restart(side);
		before = cpu_s();
		run_round(side);
		used = cpu_s() - before;
		if (write(pipe_out, &used, sizeof(used)) != sizeof(used))
			die("pipe");
	}
	_exit(0);
}

static double one_round(struct side *side, int pipe_in, int pipe_out,
			double *cpu)
{
	double before = cpu_s(), used = 0;
	uint64_t begin;

	restart(side);
	begin = now_ns();
	if (write(pipe_out, "g", 1) != 1)
		die("pipe");
	run_round(side);
	if (read(pipe_in, &used, sizeof(used)) != sizeof(used))
		die("the other side");
	*cpu = cpu_s() - before + used;
	return (double)side->lanes[0].total * side->settings->flows /
	       (double)(now_ns() - begin);
}

static void report(struct side *side, int pipe_in, int pipe_out)
{
	const struct settings *s = side->settings;
	double cpu = 0, all_cpu = 0;

	printf("{\"flows\": %u, \"threads\": %u, \"slots\": %u, "
	       "\"slot_bytes\": %u, \"both\": %s, \"GBps\": [",
	       s->flows, side->n_threads, s->slots, s->slot_bytes,
	       s->both ? "true" : "false");
	(void)one_round(side, pipe_in, pipe_out, &cpu);
	for (uint32_t i = 0; i < s->rounds; i++) {
		printf("%s%.2f", i ? ", " : "",
		       one_round(side, pipe_in, pipe_out, &cpu));
		all_cpu += cpu;
	}
	printf("], \"cpu_s_per_GB\": %.3f}\n",
	       all_cpu / s->rounds /
		       ((double)side->lanes[0].total * s->flows / 1e9 *
			(s->both ? 2 : 1)));
}

static bool parse(int argc, char **argv, struct settings *s)
{
	const struct {
		const char *name;
		uint32_t *value;
	} all[] = {{"--flows", &s->flows},  {"--threads", &s->threads},
		   {"--slots", &s->slots},  {"--slot-bytes", &s->slot_bytes},
		   {"--gib", &s->gib},	    {"--mib", &s->mib},
		   {"--rounds", &s->rounds}};

	size_t n_all = sizeof(all) / sizeof(*all);

	for (int i = 1; i < argc; i++) {
		size_t k = 0;

		if (strcmp(argv[i], "--both") == 0) {
			s->both = true;
			continue;
		}
		while (k < n_all && strcmp(argv[i], all[k].name) != 0)
			k++;
		if (k == n_all || ++i == argc || atoi(argv[i]) <= 0)
			return false;
		*all[k].value = (uint32_t)atoi(argv[i]);
	}
	return s->flows <= FLOWS_MAX && s->threads <= FLOWS_MAX;
}

int main(int argc, char **argv)
{
	struct settings settings = {.flows = 8,
				    .threads = 8,
				    .slots = 8,
				    .slot_bytes = 1u << 20,
				    .gib = 16,
				    .rounds = 5};
	int fds[FLOWS_MAX], there[2], back[2], listening;
	struct sockaddr_in addr;
	struct side *side = calloc(1, sizeof(*side));
	pid_t pid;

	if (!side || !parse(argc, argv, &settings)) {
		fprintf(stderr, "usage: raw_ring [--flows N] [--threads N] "
				"[--slots N] [--slot-bytes N] [--gib N] "
				"[--rounds N] [--both]\n");
		return 2;
	}
	listening = listener(&addr);
	if (pipe(there) || pipe(back) || (pid = fork()) < 0)
		die("fork");
	for (uint32_t i = 0; i < settings.flows; i++) {
		if (pid == 0) {
			fds[i] = socket(AF_INET, SOCK_STREAM, 0);
			if (connect(fds[i], (struct sockaddr *)&addr,
				    sizeof(addr)))
				die("connect");
		} else {
			fds[i] = accept(listening, NULL, NULL);
			if (fds[i] < 0)
				die("accept");
		}
	}
	prepare(side, &settings, fds, pid == 0);
	if (pid == 0) {
		close(there[1]);
		child(side, there[0], back[1]);
	}
	close(back[1]);
	report(side, back[0], there[1]);
	close(there[1]);
	waitpid(pid, NULL, 0);
	return 0;
}
