/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/item.h"
#include "core/flows.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/peering.h"
#include "core/rails.h"
#include "core/reasons.h"
#include "engine/choice.h"
#include "engine/device.h"
#include "engine/lane.h"

/* One lane as it was when asked; the peer's lock is not held for long. */
struct seen {
	struct engine_transport *via;
	uint32_t rail;
	bool sends, receives;
	uint32_t lands; /* whose memory it receives into, here or there */
	const struct gpu *slots; /* of a sender */
};

struct view {
	struct peering *peering;
	struct seen lanes[PEER_LANES_MAX];
	uint32_t n_lanes;
	bool choosy; /* they are not all alike */
	struct gpu *here[GPU_DEVICES_MAX + 1]; /* NULL: the host, first */
	uint32_t n_here;
	uint32_t there[GPU_DEVICES_MAX + 1]; /* as on the wire; 0 first */
	uint32_t n_there;
};

/* ---- what there is ---------------------------------------------------- */

static void look_at_lanes(struct view *view)
{
	struct peer *peer = view->peering->peer;

	pthread_mutex_lock(&peer->lock);
	for (uint32_t i = 0; i < peer->lanes_end; i++) {
		const struct lane *lane = peer->lanes[i];

		if (!lane || lane->state != LANE_OPEN)
			continue;
		view->lanes[view->n_lanes++] = (struct seen){
			.via = lane->via,
			.rail = lane->rail,
			.sends = choice_counts(lane),
			.receives = lane->receives,
			.lands = lane->receives ?
					 device_number(lane->pages_gpu) :
					 lane->lands,
			.slots = lane->slots_gpu,
		};
	}
	pthread_mutex_unlock(&peer->lock);
	for (uint32_t i = 0; i < view->n_lanes; i++)
		view->choosy |= view->lanes[i].lands || view->lanes[i].slots ||
				view->lanes[i].via != view->lanes[0].via;
}

static void add_there(struct view *view, uint32_t device)
{
	for (uint32_t i = 0; i < view->n_there; i++)
		if (view->there[i] == device)
			return;
	if (view->n_there <= GPU_DEVICES_MAX)
		view->there[view->n_there++] = device;
}

/* Regions of theirs that the program has loaded. */
static void look_at_regions(struct view *view)
{
	struct tcpx_session *session = view->peering->session;
	const struct remote_mem *remote;
	uint32_t cursor = 0;

	pthread_mutex_lock(&session->mem_lock);
	while ((remote = idmap_next(&session->remote_mems, &cursor)))
		if (!memcmp(remote->session, view->peering->session_id,
			    SESSION_ID_BYTES) &&
		    remote->device <= GPU_DEVICES_MAX)
			add_there(view, remote->device);
	pthread_mutex_unlock(&session->mem_lock);
}

static void look_at_devices(struct view *view)
{
	struct gpu_set *gpus = view->peering->session->gpus;

	view->n_here = view->n_there = 1; /* the hosts */
	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++) {
		struct gpu *gpu = gpu_set_opened(gpus, i);

		if (gpu)
			view->here[view->n_here++] = gpu;
	}
	for (uint32_t i = 0; i < view->n_lanes; i++)
		if (view->lanes[i].sends)
			add_there(view, view->lanes[i].lands);
	look_at_regions(view);
}

/* ---- one pair, one direction ------------------------------------------ */

struct course {
	struct view *view;
	struct gpu *here;
	uint32_t there;
	bool sending;
	uint32_t best; /* rank; UINT32_MAX: nothing carries it */
	struct engine_transport *via;
	uint32_t n_lanes;
};

/* As choice_rank(), also for what the other side chooses: by its own order. */
static uint32_t rank_of(const struct course *course, const struct seen *lane)
{
	const struct peering *peering = course->view->peering;
	const struct engine *engine = peering->session->engine;
	uint32_t to = course->sending ? course->there :
					device_number(course->here);
	bool device = course->here || course->there;
	int place = (int)(lane->via - engine->transports);

	if (!course->sending)
		place = item_place(peering->transports, lane->via->ops->name);
	if ((device && !(lane->via->caps & TRANSPORT_GPU)) || place < 0 ||
	    !(course->sending ? lane->sends : lane->receives))
		return UINT32_MAX;
	if (course->sending && course->here && lane->slots &&
	    lane->slots != course->here)
		return UINT32_MAX;
	return (uint32_t)place +
	       (lane->lands && lane->lands != to ? ENGINE_TRANSPORTS_MAX : 0);
}

static void find_best(struct course *course)
{
	course->best = UINT32_MAX;
	for (uint32_t i = 0; i < course->view->n_lanes; i++) {
		const struct seen *lane = &course->view->lanes[i];
		uint32_t rank = rank_of(course, lane);

		if (rank < course->best) {
			course->best = rank;
			course->via = lane->via;
			course->n_lanes = 0;
		}
		course->n_lanes += rank == course->best && rank != UINT32_MAX;
	}
}

static void device_name(uint32_t device, char name[16])
{
	if (device)
		snprintf(name, 16, "gpu:%u", device - 1);
	else
		snprintf(name, 16, "host");
}

/* Its interface here; of what is sent, that of the GPU it is sent from. And how
 * it is used; that is said of receiving. */
static struct transport_rail rail_of(const struct course *course,
				     const struct seen *lane)
{
	const struct tcpx_session *session = course->view->peering->session;
	const struct engine_transport *via = lane->via;
	struct transport_rail rail = {.ifname = "?"};
	uint32_t i = lane->slots ? gpu_index(lane->slots) : lane->rail;

	if (!via->ops->rail && lane->rail < session->n_rails)
		memcpy(rail.ifname, session->rails[lane->rail].ifname,
		       sizeof(rail.ifname));
	else if (via->ops->rail && i < via->limits.n_rails)
		via->ops->rail(via->transport, i, &rail);
	if (!lane->receives)
		rail.how[0] = '\0';
	return rail;
}

static json_t *rail_json(const struct course *course, const struct seen *lane,
			 uint32_t n_flows)
{
	struct peering *peering = course->view->peering;
	char local[ADDR_TEXT_MAX] = "", remote[ADDR_TEXT_MAX] = "";
	struct transport_rail rail = rail_of(course, lane);
	char detour[96] = "";

	if (lane->via->caps & TRANSPORT_ADOPTS && peering->n_their_rails) {
		const struct net_addr *to =
			&peering->rails[lane->rail % peering->n_their_rails]
				 .addr;

		if (!peering->incoming)
			addr_text(to, remote);
		if (lane->rail < peering->session->n_rails)
			addr_host_text(&peering->session->nics[lane->rail].addr,
				       local);
		rails_detour(peering->session, lane->rail, to, detour,
			     sizeof(detour));
	}
	return json_pack("{s:i,s:o,s:s,s:s,s:i,s:o,s:o}", "rail",
			 (int)lane->rail, "ifname", json_text(rail.ifname),
			 "local", local, "remote", remote, "flows",
			 (int)n_flows, "detour", json_text(detour), "how",
			 json_text(rail.how));
}

/* Those of the best rank, by rail. */
static json_t *rails_json(const struct course *course)
{
	uint32_t flows[PEER_OFFER_RAILS_MAX] = {0};
	const struct seen *of[PEER_OFFER_RAILS_MAX];
	json_t *rails = json_array();

	for (uint32_t i = 0; i < course->view->n_lanes; i++) {
		const struct seen *lane = &course->view->lanes[i];

		if (rank_of(course, lane) != course->best ||
		    course->best == UINT32_MAX)
			continue;
		of[lane->rail] = lane;
		flows[lane->rail]++;
	}
	for (uint32_t r = 0; r < PEER_OFFER_RAILS_MAX; r++)
		if (flows[r])
			json_add(&rails, rail_json(course, of[r], flows[r]));
	return rails;
}

/* ---- why -------------------------------------------------------------- */

static void why_taken(const struct course *course, char *why, size_t cap)
{
	const struct peering *peering = course->view->peering;
	char device[16];

	device_name(course->sending ? course->there :
				      device_number(course->here),
		    device);
	if (!course->via)
		snprintf(why, cap, "no lane is open that can carry it");
	else if (course->via->caps & TRANSPORT_ADOPTS)
		snprintf(why, cap, "plain TCP is always there%s; %s",
			 reasons_any_gpu(peering->session) ?
				 ", device memory goes through pinned slots" :
				 " and carries host memory as it lies",
			 peering->incoming ? "the peer opened the connection" :
					     "we opened the connection");
	else if (course->best >= ENGINE_TRANSPORTS_MAX)
		snprintf(why, cap,
			 "nothing better is open: it lands in another device's "
			 "memory and goes on to that of %s",
			 device);
	else
		snprintf(why, cap,
			 "first of the allowed transports that reaches the "
			 "memory of %s",
			 device);
}

/* One that is open, and not taken. */
static void why_not_best(const struct course *course,
			 const struct engine_transport *via, char *why,
			 size_t cap)
{
	uint32_t best = UINT32_MAX, lands = 0;
	const struct gpu *slots = NULL;
	char device[16];

	for (uint32_t i = 0; i < course->view->n_lanes; i++) {
		const struct seen *lane = &course->view->lanes[i];
		uint32_t rank = rank_of(course, lane);

		if (lane->via != via)
			continue;
		if (rank < best || best == UINT32_MAX) {
			best = rank;
			lands = lane->lands;
			slots = lane->slots;
		}
	}
	device_name(lands, device);
	if (best == UINT32_MAX && slots)
		snprintf(
			why, cap,
			"its lanes send from the memory of gpu:%u, which is at "
			"home on the receiving end's NIC, and the bytes are "
			"another GPU's",
			gpu_index(slots));
	else if (best == UINT32_MAX)
		snprintf(why, cap, "it does not carry device memory");
	else if (best >= ENGINE_TRANSPORTS_MAX)
		snprintf(why, cap,
			 "its lanes land in the memory of %s, not where the "
			 "bytes are for",
			 device);
	else
		snprintf(why, cap, "open, and behind %s in the order of %s",
			 course->via->ops->name,
			 course->sending ? "transports here" :
					   "the peer's transports");
}

/* device 0: wherever it lands. */
static bool is_open(const struct course *course,
		    const struct engine_transport *via, uint32_t device)
{
	for (uint32_t i = 0; i < course->view->n_lanes; i++) {
		const struct seen *lane = &course->view->lanes[i];

		if (lane->via == via && (!device || lane->lands == device) &&
		    (course->sending ? lane->sends : lane->receives))
			return true;
	}
	return false;
}

/* Every other candidate, with its reason. */
static json_t *rejected_json(const struct course *course)
{
	struct peering *peering = course->view->peering;
	struct engine *engine = peering->session->engine;
	json_t *rejected = json_array();

	for (uint32_t i = 0; i < engine->n_transports; i++) {
		struct engine_transport *via = &engine->transports[i];
		uint32_t device = course->sending ? course->there :
						    device_number(course->here);
		bool known =
			reasons_rail(peering, via, course->sending, device);
		char why[256];

		if (via == course->via)
			continue;
		if (is_open(course, via, known ? device : 0))
			why_not_best(course, via, why, sizeof(why));
		else
			reasons_not_open(peering, via, course->sending, device,
					 why, sizeof(why));
		reasons_add(&rejected, via->ops->name, why);
	}
	reasons_not_here(peering, &rejected);
	if (course->via)
		reasons_flows(peering, course->via, &rejected);
	return rejected;
}

static json_t *course_json(const struct course *course, const char *direction)
{
	char local[16], remote[16], why[192];

	device_name(device_number(course->here), local);
	device_name(course->there, remote);
	why_taken(course, why, sizeof(why));
	return json_pack("{s:s,s:s,s:s,s:s?,s:o,s:i,s:s,s:o}", "local", local,
			 "remote", remote, "direction", direction, "transport",
			 course->via ? course->via->ops->name : NULL, "rails",
			 rails_json(course), "flows", (int)course->n_lanes,
			 "why", why, "rejected", rejected_json(course));
}

/* ---- all of them ------------------------------------------------------ */

static void add_pair(json_t **pairs, struct view *view, struct gpu *here,
		     uint32_t there)
{
	struct course out = {
		.view = view, .here = here, .there = there, .sending = true};
	struct course in = {.view = view, .here = here, .there = there};

	find_best(&out);
	find_best(&in);
	/* Lanes that go both ways are the same ones. */
	if (out.via == in.via &&
	    (!out.via || out.via->caps & TRANSPORT_ADOPTS)) {
		json_add(pairs, course_json(&out, "both"));
		return;
	}
	json_add(pairs, course_json(&out, "send"));
	json_add(pairs, course_json(&in, "receive"));
}

json_t *pairs_json(struct peering *peering)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	json_t *pairs = json_array();

	view->peering = peering;
	look_at_lanes(view);
	look_at_devices(view);
	if (!view->choosy)
		view->n_here = view->n_there = 1;
	for (uint32_t h = 0; h < view->n_here; h++)
		for (uint32_t t = 0; t < view->n_there; t++)
			add_pair(&pairs, view, view->here[h], view->there[t]);
	free(view);
	return pairs;
}
