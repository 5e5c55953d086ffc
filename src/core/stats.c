/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Counters, as JSON and as Prometheus text. Both come from one walk over the
 * peers: a snapshot of plain numbers first, then the rendering.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/json.h"
#include "core/peering.h"
#include "engine/lane.h"

struct peer_stats {
	char name[TCPX_NAME_MAX];
	uint64_t id;
	bool up;
	uint64_t done, failed, notes_in, notes_out, ctl_tx, ctl_rx;
	struct totals totals;
};

struct stats {
	struct peer_stats *peers;
	uint32_t n_peers;
	uint64_t events_dropped;
};

/* ---- the snapshot ----------------------------------------------------- */

static void snap_peer(struct peer *peer, struct peer_stats *stats)
{
	pthread_mutex_lock(&peer->lock);
	stats->up = load_relaxed(&peer->state) == PEER_UP;
	stats->done = load_relaxed(&peer->xfers_done);
	stats->failed = load_relaxed(&peer->xfers_failed);
	stats->notes_in = load_relaxed(&peer->notes_in);
	stats->notes_out = load_relaxed(&peer->notes_out);
	stats->ctl_tx = load_relaxed(&peer->ctl.tx_total);
	stats->ctl_rx = load_relaxed(&peer->ctl.rx_total);
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i])
			totals_add_lane(&stats->totals, peer->lanes[i]);
	list_for_each (node, &peer->dead_lanes)
		totals_add_lane(&stats->totals,
				list_entry(node, struct lane, link));
	for (uint32_t i = 0; i < peer->gone.n; i++)
		totals_add(&stats->totals, &peer->gone.rails[i]);
	pthread_mutex_unlock(&peer->lock);
}

static void free_snap(struct stats *stats)
{
	for (uint32_t i = 0; i < stats->n_peers; i++)
		totals_free(&stats->peers[i].totals);
	free(stats->peers);
}

static int snap(struct tcpx_session *session, struct stats *stats)
{
	uint32_t n, used = 0;
	struct peering **all = peering_all(session, &n);

	*stats = (struct stats){.events_dropped =
					inbox_events_dropped(session->inbox)};
	stats->peers = calloc(n ? n : 1, sizeof(*stats->peers));
	for (uint32_t i = 0; i < n; i++) {
		struct peering *peering = all[i];

		pthread_mutex_lock(&session->lock);
		struct peer *peer = peering->hidden ? NULL : peering->peer;

		if (stats->peers && peer) {
			memcpy(stats->peers[used].name, peering->name,
			       TCPX_NAME_MAX);
			stats->peers[used].id = peering->id;
		}
		pthread_mutex_unlock(&session->lock);
		if (stats->peers && peer)
			snap_peer(peer, &stats->peers[used++]);
		peering_put(peering);
	}
	free(all);
	stats->n_peers = used;
	return stats->peers ? 0 : TCPX_ENOMEM;
}

/* ---- the counters by name --------------------------------------------- */

struct counter {
	const char *name, *help;
	size_t offset;
};

static const struct counter peer_counters[] = {
	{"transfers_done", "transfers posted here that succeeded",
	 offsetof(struct peer_stats, done)},
	{"transfers_failed", "transfers posted here that failed",
	 offsetof(struct peer_stats, failed)},
	{"notifications_received", "notifications delivered here",
	 offsetof(struct peer_stats, notes_in)},
	{"notifications_sent", "notifications of their own sent from here",
	 offsetof(struct peer_stats, notes_out)},
	{"control_sent_bytes", "bytes sent on the control connection",
	 offsetof(struct peer_stats, ctl_tx)},
	{"control_received_bytes", "bytes received on the control connection",
	 offsetof(struct peer_stats, ctl_rx)},
};

static const struct counter rail_counters[] = {
	{"sent_bytes", "payload bytes given to the rail",
	 offsetof(struct rail_totals, tx_bytes)},
	{"received_bytes", "payload bytes placed from the rail",
	 offsetof(struct rail_totals, rx_bytes)},
	{"sent_chunks", "chunks given to the rail",
	 offsetof(struct rail_totals, tx_chunks)},
	{"received_chunks", "chunks placed from the rail",
	 offsetof(struct rail_totals, rx_chunks)},
	{"resent_chunks", "chunks of dead lanes sent again",
	 offsetof(struct rail_totals, resent_chunks)},
	{"stalls", "times a lane had data but no credit",
	 offsetof(struct rail_totals, stalls)},
};

static const struct counter gpu_counters[] = {
	{"gpu_jobs", "lists of copies a GPU has done",
	 offsetof(struct gpu_counters, jobs)},
	{"gpu_launches", "kernels started for them",
	 offsetof(struct gpu_counters, launches)},
	{"gpu_copies", "copies in those lists",
	 offsetof(struct gpu_counters, copies)},
	{"gpu_copied_bytes", "bytes of those copies",
	 offsetof(struct gpu_counters, bytes)},
	{"gpu_pinned_bytes", "host memory pinned for the GPU, now",
	 offsetof(struct gpu_counters, pinned_bytes)},
	{"gpu_device_bytes", "device memory taken, now",
	 offsetof(struct gpu_counters, device_bytes)},
};

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t value_of(const void *stats, const struct counter *counter)
{
	return *(const uint64_t *)((const char *)stats + counter->offset);
}

static bool rail_used(const struct rail_totals *rail)
{
	return rail->flows || rail->tx_bytes || rail->rx_bytes;
}

/* The interface here, of the transport's own rails or the session's. */
static void rail_ifname(const struct tcpx_session *session,
			const struct rail_totals *stats, char ifname[16])
{
	const struct engine_transport *via = stats->via;
	struct transport_rail rail = {.ifname = "?"};

	if (via->ops->rail && stats->rail < via->limits.n_rails)
		via->ops->rail(via->transport, stats->rail, &rail);
	else if (!via->ops->rail && stats->rail < session->n_rails)
		memcpy(rail.ifname, session->rails[stats->rail].ifname,
		       sizeof(rail.ifname));
	memcpy(ifname, rail.ifname, sizeof(rail.ifname));
}

/* ---- JSON ------------------------------------------------------------- */

static void set_counters(json_t *object, const void *stats,
			 const struct counter *counters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_set_new(object, counters[i].name,
				    json_integer((json_int_t)value_of(
					    stats, &counters[i])));
}

static json_t *peer_stats_json(const struct tcpx_session *session,
			       const struct peer_stats *stats)
{
	json_t *object = json_pack("{s:s,s:b}", "name", stats->name,
				   "connected", stats->up);
	json_t *rails = json_array();

	set_counters(object, stats, peer_counters, N_OF(peer_counters));
	for (uint32_t i = 0; i < stats->totals.n; i++) {
		const struct rail_totals *rail = &stats->totals.rails[i];
		char ifname[16];

		if (!rail_used(rail))
			continue;
		rail_ifname(session, rail, ifname);
		json_t *one = json_pack("{s:s,s:i,s:s,s:i}", "transport",
					rail->via->ops->name, "rail",
					(int)rail->rail, "ifname", ifname,
					"flows", (int)rail->flows);

		set_counters(one, rail, rail_counters, N_OF(rail_counters));
		json_array_append_new(rails, one);
	}
	json_object_set_new(object, "rails", rails);
	return object;
}

/* Those in use. */
static json_t *gpus_json(struct tcpx_session *session)
{
	json_t *gpus = json_array();

	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++) {
		struct gpu *gpu = gpu_set_opened(session->gpus, i);
		struct gpu_counters counters;

		if (!gpu)
			continue;
		gpu_get_counters(gpu, &counters);
		json_t *one = json_pack("{s:i}", "gpu", (int)i);

		set_counters(one, &counters, gpu_counters, N_OF(gpu_counters));
		json_array_append_new(gpus, one);
	}
	return gpus;
}

int tcpx_session_stats_json(struct tcpx_session *session, char *buf,
			    size_t cap_bytes, size_t *len_bytes)
{
	struct stats stats;

	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return TCPX_EINVAL;
	int err = snap(session, &stats);

	if (err)
		return err;
	json_t *peers = json_array();

	for (uint32_t i = 0; i < stats.n_peers; i++)
		json_array_append_new(peers, peer_stats_json(session,
							     &stats.peers[i]));
	free_snap(&stats);
	return json_give(json_pack("{s:s,s:i,s:I,s:o,s:o}", "name",
				   session->config->name, "peers_known",
				   (int)stats.n_peers, "events_dropped",
				   (json_int_t)stats.events_dropped, "peers",
				   peers, "gpus", gpus_json(session)),
			 buf, cap_bytes, len_bytes);
}

/* ---- Prometheus ------------------------------------------------------- */

static void head(struct text *text, const struct counter *counter)
{
	text_add(text, "# HELP tcpx_%s %s\n# TYPE tcpx_%s counter\n",
		 counter->name, counter->help, counter->name);
}

static void peer_label(struct text *text, const char *name,
		       const struct peer_stats *stats)
{
	text_add(text, "tcpx_%s{peer=", name);
	text_add_quoted(text, stats->name);
	text_add(text, ",handle=\"%llx\"", (unsigned long long)stats->id);
}

static void render_peers(struct text *text, const struct stats *stats,
			 const struct counter *counter)
{
	head(text, counter);
	for (uint32_t i = 0; i < stats->n_peers; i++) {
		peer_label(text, counter->name, &stats->peers[i]);
		text_add(text, "} %llu\n",
			 (unsigned long long)value_of(&stats->peers[i],
						      counter));
	}
}

static void render_rails(struct text *text, const struct tcpx_session *session,
			 const struct stats *stats,
			 const struct counter *counter)
{
	head(text, counter);
	for (uint32_t i = 0; i < stats->n_peers; i++)
		for (uint32_t r = 0; r < stats->peers[i].totals.n; r++) {
			const struct rail_totals *rail =
				&stats->peers[i].totals.rails[r];
			char ifname[16];

			if (!rail_used(rail))
				continue;
			rail_ifname(session, rail, ifname);
			peer_label(text, counter->name, &stats->peers[i]);
			text_add(text, ",transport=\"%s\",rail=\"%u\",ifname=",
				 rail->via->ops->name, rail->rail);
			text_add_quoted(text, ifname);
			text_add(text, "} %llu\n",
				 (unsigned long long)value_of(rail, counter));
		}
}

static void render_gpus(struct text *text, struct tcpx_session *session,
			const struct counter *counter)
{
	bool gauge = strstr(counter->help, ", now");

	text_add(text, "# HELP tcpx_%s %s\n# TYPE tcpx_%s %s\n", counter->name,
		 counter->help, counter->name, gauge ? "gauge" : "counter");
	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++) {
		struct gpu *gpu = gpu_set_opened(session->gpus, i);
		struct gpu_counters counters;

		if (!gpu)
			continue;
		gpu_get_counters(gpu, &counters);
		text_add(text, "tcpx_%s{gpu=\"%u\"} %llu\n", counter->name, i,
			 (unsigned long long)value_of(&counters, counter));
	}
}

int tcpx_session_stats_prometheus(struct tcpx_session *session, char *buf,
				  size_t cap_bytes, size_t *len_bytes)
{
	struct stats stats;
	struct text text;

	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return TCPX_EINVAL;
	int err = snap(session, &stats);

	if (err)
		return err;
	text_init(&text, buf, cap_bytes);
	text_add(&text,
		 "# HELP tcpx_peers peers known\n# TYPE tcpx_peers gauge\n"
		 "tcpx_peers %u\n",
		 stats.n_peers);
	for (size_t i = 0; i < N_OF(peer_counters); i++)
		render_peers(&text, &stats, &peer_counters[i]);
	for (size_t i = 0; i < N_OF(rail_counters); i++)
		render_rails(&text, session, &stats, &rail_counters[i]);
	for (size_t i = 0; i < N_OF(gpu_counters); i++)
		render_gpus(&text, session, &gpu_counters[i]);
	free_snap(&stats);
	*len_bytes = text.len_bytes;
	return text_status(&text);
}
