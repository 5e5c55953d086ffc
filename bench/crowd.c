/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that do nothing: CPU with a few peers, memory with a thousand. */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define CONNECT_WAIT_MS 60000
#define IDLE_PEERS 8
#define SETTLE_MS 2000

static double cpu_seconds(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) /
		       1e6;
}

/* Exact, unlike the first lines of /proc/self/status. */
static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long long kib = 0;
	char line[256];

	must(f ? 0 : TCPX_ENOENT, "/proc/self/smaps_rollup");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %llu kB", &kib) == 1)
			break;
	fclose(f);
	return (double)kib * 1024;
}

static struct far_hello *read_hellos(struct far *far, unsigned n)
{
	struct far_hello *hellos = calloc(n, sizeof(*hellos));

	must(hellos ? 0 : TCPX_ENOMEM, "memory");
	for (unsigned i = 0; i < n; i++)
		far_read(far, &hellos[i]);
	return hellos;
}

static void connect_all(struct tcpx_session *session,
			const struct far_hello *hellos, unsigned n)
{
	uint64_t *peers = calloc(n, sizeof(*peers));

	must(peers ? 0 : TCPX_ENOMEM, "memory");
	for (unsigned i = 0; i < n; i++)
		must(tcpx_peer_connect(session, hellos[i].blob,
				       hellos[i].blob_len, &peers[i]),
		     "connecting");
	for (unsigned i = 0; i < n; i++)
		must(tcpx_peer_wait(session, peers[i], CONNECT_WAIT_MS),
		     "waiting for a peer");
	free(peers);
}

/* Events are taken, as a program does that watches its peers. */
static void drain_events(struct tcpx_session *session)
{
	struct tcpx_event event;

	while (!tcpx_event_poll(session, &event))
		if (event.kind == TCPX_EVENT_PEER_LOST)
			must(event.status, event.cause);
}

static json_t *idle_share(struct tcpx_session *session, unsigned seconds)
{
	struct rusage before, after;
	uint64_t begin_ns;
	double s, cpu;

	sleep_ms(SETTLE_MS);
	drain_events(session);
	begin_ns = now_ns();
	getrusage(RUSAGE_SELF, &before);
	sleep_ms(seconds * 1000);
	getrusage(RUSAGE_SELF, &after);
	s = (double)(now_ns() - begin_ns) / 1e9;
	cpu = cpu_seconds(&after) - cpu_seconds(&before);
	drain_events(session);
	return json_pack("{sf sf sf}", "seconds", s, "core_percent",
			 cpu / s * 100, "wakeups_per_s",
			 (double)(after.ru_nvcsw - before.ru_nvcsw) / s);
}

json_t *measure_idle(const struct micro_options *options)
{
	struct far_params params = {.n_sessions = IDLE_PEERS, .n_workers = -1};
	struct far_hello *hellos;
	struct tcpx_session *session;
	struct far far;
	json_t *figures;

	far_start(&far, &params);
	hellos = read_hellos(&far, IDLE_PEERS);
	session = micro_session(-1);
	connect_all(session, hellos, IDLE_PEERS);
	figures = idle_share(session, options->quick ? 3 : 10);
	json_object_set_new(figures, "peers", json_integer(IDLE_PEERS));
	tcpx_session_close(session);
	far_stop(&far);
	free(hellos);
	return figures;
}

/* The blobs are in memory before the first look, so they do not count. */
json_t *measure_peers(const struct micro_options *options)
{
	unsigned n = options->n_peers;
	struct far_params params = {.n_sessions = n, .n_workers = 0};
	struct far_hello *hellos;
	struct tcpx_session *session;
	struct far far;
	uint64_t begin_ns;
	double before, connected_s;
	json_t *figures;

	far_start(&far, &params);
	hellos = read_hellos(&far, n);
	session = micro_session(-1);
	before = resident_bytes();
	begin_ns = now_ns();
	connect_all(session, hellos, n);
	connected_s = (double)(now_ns() - begin_ns) / 1e9;
	drain_events(session);
	/* First as it is then, afterwards when all has come to rest. */
	double at_once = resident_bytes() - before;

	figures = idle_share(session, options->quick ? 2 : 5);
	json_object_update_new(figures,
			       json_pack("{sI sf sf sf}", "peers",
					 (json_int_t)n, "connected_s",
					 connected_s, "bytes_per_peer_at_once",
					 at_once / n, "bytes_per_peer",
					 (resident_bytes() - before) / n));
	tcpx_session_close(session);
	far_stop(&far);
	free(hellos);
	return figures;
}
