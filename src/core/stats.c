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
	struct peer_totals did;
	struct totals totals;
};

struct stats {
	struct peer_stats *peers;
	uint64_t n_peers, n_gone, events_dropped;
	struct peer_totals all; /* of those that live and those that are gone */
};

/* ---- the snapshot ----------------------------------------------------- */

static void snap_peer(struct peer *peer, struct peer_stats *stats)
{
	struct peer_totals *did = &stats->did;

	pthread_mutex_lock(&peer->lock);
	stats->up = load_relaxed(&peer->state) == PEER_UP &&
		    peer->ctl.state == CTL_UP;
	did->done = load_relaxed(&peer->xfers_done);
	did->failed = load_relaxed(&peer->xfers_failed);
	did->notes_in = load_relaxed(&peer->notes_in);
	did->notes_out = load_relaxed(&peer->notes_out);
	did->ctl_tx = load_relaxed(&peer->ctl.tx_total);
	did->ctl_rx = load_relaxed(&peer->ctl.rx_total);
	did->ctl_resumed = load_relaxed(&peer->ctl.resumption.n_resumed);
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i])
			totals_add_lane(&stats->totals, peer->lanes[i]);
	list_for_each (node, &peer->dead_lanes)
		totals_add_lane(&stats->totals,
				list_entry(node, struct lane, link));
	totals_add(&stats->totals, &peer->gone);
	pthread_mutex_unlock(&peer->lock);
	did->rails = stats->totals.sum;
}

void stats_of_peer(struct peer *peer, struct peer_totals *did)
{
	struct peer_stats stats = {0};

	snap_peer(peer, &stats);
	*did = stats.did;
	totals_free(&stats.totals);
}

void peer_totals_add(struct peer_totals *to, const struct peer_totals *did)
{
	to->done += did->done;
	to->failed += did->failed;
	to->notes_in += did->notes_in;
	to->notes_out += did->notes_out;
	to->ctl_tx += did->ctl_tx;
	to->ctl_rx += did->ctl_rx;
	to->ctl_resumed += did->ctl_resumed;
	rail_totals_add(&to->rails, &did->rails);
}

static void free_snap(struct stats *stats)
{
	for (uint32_t i = 0; i < stats->n_peers; i++)
		totals_free(&stats->peers[i].totals);
	free(stats->peers);
}

/* Gives the reference back. */
static void snap_peering(struct peering *peering, struct stats *stats)
{
	struct tcpx_session *session = peering->session;
	struct peer_stats *next = &stats->peers[stats->n_peers];

	pthread_mutex_lock(&session->lock);
	struct peer *peer = peering->hidden ? NULL : peering->peer;

	if (peer) {
		memcpy(next->name, peering->name, TCPX_NAME_MAX);
		next->id = peering->id;
	}
	pthread_mutex_unlock(&session->lock);
	if (peer) {
		snap_peer(peer, next);
		peer_totals_add(&stats->all, &next->did);
		stats->n_peers++;
	}
	peering_put(peering);
}

/* Those there are and what was counted of the others, of one moment: none is
 * left out, and none is counted twice. */
static int snap(struct tcpx_session *session, struct stats *stats)
{
	bool cut = false;
	uint32_t n;

	*stats = (struct stats){.events_dropped =
					inbox_events_dropped(session->inbox)};
	pthread_mutex_lock(&session->lock);
	struct peering **all = peering_all_locked(session, &n);
	bool short_of_memory = !all && !list_empty(&session->peerings);

	stats->all = session->gone;
	stats->n_gone = session->n_gone;
	pthread_mutex_unlock(&session->lock);
	stats->peers = calloc(n ? n : 1, sizeof(*stats->peers));
	for (uint32_t i = 0; i < n; i++) {
		if (stats->peers)
			snap_peering(all[i], stats);
		else
			peering_put(all[i]);
	}
	free(all);
	for (uint32_t i = 0; i < stats->n_peers; i++)
		cut |= stats->peers[i].totals.cut;
	if (stats->peers && !short_of_memory && !cut)
		return 0;
	free_snap(stats);
	return TCPX_ENOMEM;
}

/* ---- the counters by name --------------------------------------------- */

struct counter {
	const char *name, *help;
	size_t offset;
};

static const struct counter peer_counters[] = {
	{"transfers_done", "transfers posted here that succeeded",
	 offsetof(struct peer_totals, done)},
	{"transfers_failed", "transfers posted here that failed",
	 offsetof(struct peer_totals, failed)},
	{"notifications_received", "notifications delivered here",
	 offsetof(struct peer_totals, notes_in)},
	{"notifications_sent", "notifications of their own sent from here",
	 offsetof(struct peer_totals, notes_out)},
	{"control_sent_bytes", "bytes sent on the control connection",
	 offsetof(struct peer_totals, ctl_tx)},
	{"control_received_bytes", "bytes received on the control connection",
	 offsetof(struct peer_totals, ctl_rx)},
	{"control_resumed",
	 "times a lost control connection was taken up again",
	 offsetof(struct peer_totals, ctl_resumed)},
};

static const struct counter connected = {
	"connected", "1: its control connection stands, now", 0};

static const struct counter rail_counters[] = {
	{"flows", "flows that are open, now",
	 offsetof(struct rail_totals, flows)},
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

static const struct counter peers_known = {"peers", "peers known, now",
					   offsetof(struct stats, n_peers)};

static const struct counter events_dropped = {
	"events_dropped", "events the program did not take in time",
	offsetof(struct stats, events_dropped)};

static const struct counter peers_gone = {
	"peers_gone", "peers that were connected and given up",
	offsetof(struct stats, n_gone)};

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

static void set_counters(json_t **object, const void *stats,
			 const struct counter *counters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_set(object, counters[i].name,
			 json_integer(
				 (json_int_t)value_of(stats, &counters[i])));
}

static json_t *rail_json(const struct tcpx_session *session,
			 const struct rail_totals *rail)
{
	char ifname[16];

	rail_ifname(session, rail, ifname);
	json_t *one = json_pack("{s:s,s:i,s:o}", "transport",
				rail->via->ops->name, "rail", (int)rail->rail,
				"ifname", json_text(ifname));

	set_counters(&one, rail, rail_counters, N_OF(rail_counters));
	return one;
}

static json_t *peer_stats_json(const struct tcpx_session *session,
			       const struct peer_stats *stats)
{
	json_t *object = json_pack("{s:o,s:b}", "name", json_text(stats->name),
				   "connected", (int)stats->up);
	json_t *rails = json_array();

	set_counters(&object, &stats->did, peer_counters, N_OF(peer_counters));
	for (uint32_t i = 0; i < stats->totals.n; i++)
		if (rail_used(&stats->totals.rails[i]))
			json_add(&rails,
				 rail_json(session, &stats->totals.rails[i]));
	json_set(&object, "rails", rails);
	return object;
}

static json_t *peers_json(const struct tcpx_session *session,
			  const struct stats *stats)
{
	json_t *peers = json_array();

	for (uint32_t i = 0; i < stats->n_peers; i++)
		json_add(&peers, peer_stats_json(session, &stats->peers[i]));
	return peers;
}

/* All peers there have been, together. */
static json_t *all_json(const struct stats *stats)
{
	json_t *all = json_object();

	set_counters(&all, stats, &peers_gone, 1);
	set_counters(&all, &stats->all, peer_counters, N_OF(peer_counters));
	set_counters(&all, &stats->all.rails, rail_counters,
		     N_OF(rail_counters));
	return all;
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

		set_counters(&one, &counters, gpu_counters, N_OF(gpu_counters));
		json_add(&gpus, one);
	}
	return gpus;
}

int tcpx_session_stats_json(struct tcpx_session *session, char *buf,
			    size_t cap_bytes, size_t *len_bytes)
{
	struct stats stats;

	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return session_null(session, __func__);
	int err = snap(session, &stats);

	if (err)
		return err;
	json_t *json = json_pack("{s:o,s:I,s:I,s:o,s:o,s:o}", "name",
				 json_text(session->config->name),
				 "peers_known", (json_int_t)stats.n_peers,
				 "events_dropped",
				 (json_int_t)stats.events_dropped, "session",
				 all_json(&stats), "peers",
				 peers_json(session, &stats), "gpus",
				 gpus_json(session));

	free_snap(&stats);
	return json_give(json, buf, cap_bytes, len_bytes);
}

/* ---- Prometheus ------------------------------------------------------- */

/* of: "", or what the name begins with where it is of the whole session. */
static void head(struct text *text, const char *of,
		 const struct counter *counter)
{
	bool gauge = strstr(counter->help, ", now");

	text_add(text, "# HELP tcpx_%s%s %s\n# TYPE tcpx_%s%s %s\n", of,
		 counter->name, counter->help, of, counter->name,
		 gauge ? "gauge" : "counter");
}

static void render_plain(struct text *text, const char *of, const void *stats,
			 const struct counter *counters, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		head(text, of, &counters[i]);
		text_add(text, "tcpx_%s%s %llu\n", of, counters[i].name,
			 (unsigned long long)value_of(stats, &counters[i]));
	}
}

static void render_session(struct text *text, const struct stats *stats)
{
	render_plain(text, "", stats, &peers_known, 1);
	render_plain(text, "", stats, &events_dropped, 1);
	render_plain(text, "session_", stats, &peers_gone, 1);
	render_plain(text, "session_", &stats->all, peer_counters,
		     N_OF(peer_counters));
	render_plain(text, "session_", &stats->all.rails, rail_counters,
		     N_OF(rail_counters));
}

static void peer_label(struct text *text, const char *name,
		       const struct peer_stats *stats)
{
	text_add(text, "tcpx_%s{peer=", name);
	text_add_quoted(text, stats->name);
	text_add(text, ",handle=\"%llx\"", (unsigned long long)stats->id);
}

static void render_connected(struct text *text, const struct stats *stats)
{
	head(text, "", &connected);
	for (uint32_t i = 0; i < stats->n_peers; i++) {
		peer_label(text, connected.name, &stats->peers[i]);
		text_add(text, "} %d\n", stats->peers[i].up);
	}
}

static void render_peers(struct text *text, const struct stats *stats,
			 const struct counter *counter)
{
	head(text, "", counter);
	for (uint32_t i = 0; i < stats->n_peers; i++) {
		peer_label(text, counter->name, &stats->peers[i]);
		text_add(text, "} %llu\n",
			 (unsigned long long)value_of(&stats->peers[i].did,
						      counter));
	}
}

static void render_rails(struct text *text, const struct tcpx_session *session,
			 const struct stats *stats,
			 const struct counter *counter)
{
	head(text, "", counter);
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
	head(text, "", counter);
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
		return session_null(session, __func__);
	int err = snap(session, &stats);

	if (err)
		return err;
	text_init(&text, buf, cap_bytes);
	render_session(&text, &stats);
	render_connected(&text, &stats);
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
