/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/item.h"
#include "base/text.h"
#include "core/automatic.h"
#include "core/config.h"
#include "core/flows.h"
#include "core/peering.h"
#include "core/rails.h"

/* Of lists kept for a peer. At 16 bytes each, with all that is kept beside them
 * counted in segments (MSG_LIST_COST): 32 MiB. */
#define LIST_SEGMENTS (2u << 20)

/* ---- what follows from the configuration ------------------------------ */

static void set_limits(struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;

	session->limits = (struct wire_limits){
		.chunk_bytes = automatic_chunk_bytes(config),
		.window_chunks = config->window_chunks,
		.small_bytes = config->small_bytes,
		.list_segments = LIST_SEGMENTS,
		.n_flows = automatic_flows(config),
		.n_rails = config->n_rails ? config->n_rails : PEER_RAILS_MAX,
		.notify_bytes = config->notify_queue_bytes,
		.features = config->checksum ? FEATURE_CHECKSUM : 0,
		.liveness_ms = config->liveness_ms,
	};
}

/* ---- rails ------------------------------------------------------------ */

static int find_nics(struct tcpx_session *session, uint32_t *n_nics)
{
	char why[192];
	int err = nic_list(session->config->ifnames, session->nics, n_nics, why,
			   sizeof(why));

	if (err)
		log_error(&session->log, "rails",
			  "ifnames (TCPX_IFNAMES)%s%s: %s",
			  session->config->ifnames ? " " : "",
			  session->config->ifnames ? session->config->ifnames :
						     "",
			  why);
	return err;
}

/* Without a list of interfaces, a bound address is the only rail. */
static int bound_rail(struct tcpx_session *session)
{
	struct net_addr addr;
	int err = addr_parse(session->config->bind, &addr);

	if (err) {
		log_error(&session->log, "rails",
			  "bind (TCPX_BIND) is \"%s\"; allowed: a numeric "
			  "address",
			  session->config->bind);
		return TCPX_EINVAL;
	}
	if (addr_is_any(&addr) || session->config->ifnames)
		return TCPX_EAGAIN;
	addr_set_port(&addr, 0);
	session->nics[0] = (struct nic){.addr = addr, .numa_node = -1};
	strcpy(session->nics[0].ifname, "bind");
	return 0;
}

/* Where peers are to open control connections. *rail: whose address that is;
 * n_rails, if it is an interface of its own. */
static int find_ctrl(struct tcpx_session *session, uint32_t *rail)
{
	struct nic nics[NICS_MAX];
	uint32_t n;
	char why[192];

	*rail = 0;
	session->ctrl = session->rails[0].addr;
	if (!session->config->ctrl_ifname)
		return 0;
	int err = nic_list(session->config->ctrl_ifname, nics, &n, why,
			   sizeof(why));

	if (err) {
		log_error(&session->log, "rails",
			  "ctrl_ifname (TCPX_CTRL_IFNAME): %s", why);
		return err;
	}
	session->ctrl = nics[0].addr;
	while (*rail < session->n_rails &&
	       !addr_equal(&session->rails[*rail].addr, &session->ctrl))
		++*rail;
	return 0;
}

static int advertise(struct tcpx_session *session, uint32_t ctrl_rail)
{
	const char *list = session->config->advertise;
	char one[ADDR_TEXT_MAX];
	struct item item;
	uint32_t i = 0;

	while (list && item_next(&list, &item)) {
		if (i == session->n_rails) {
			log_warn(&session->log, "rails",
				 "advertise (TCPX_ADVERTISE) has more "
				 "addresses than there are rails, which are %u",
				 session->n_rails);
			break;
		}
		if (!item_copy(&item, one, sizeof(one)) ||
		    addr_parse(one, &session->rails[i++].addr)) {
			log_error(&session->log, "rails",
				  "advertise (TCPX_ADVERTISE) has \"%.*s\"; "
				  "allowed: numeric addresses by commas",
				  (int)item.len_bytes, item.text);
			return TCPX_EINVAL;
		}
	}
	if (ctrl_rail < i)
		session->ctrl = session->rails[ctrl_rail].addr;
	return 0;
}

static int find_rails(struct tcpx_session *session)
{
	uint32_t n = 1, ctrl_rail;
	int err = session->config->bind ? bound_rail(session) : TCPX_EAGAIN;

	if (err == TCPX_EAGAIN)
		err = find_nics(session, &n);
	if (err)
		return err;
	if (n > session->limits.n_rails)
		n = session->limits.n_rails;
	session->n_rails = n;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(session->rails[i].ifname, session->nics[i].ifname,
		       sizeof(session->rails[i].ifname));
		session->rails[i].addr = session->nics[i].addr;
		session->rails[i].speed_mbps = session->nics[i].speed_mbps;
	}
	err = find_ctrl(session, &ctrl_rail);
	if (!err)
		err = advertise(session, ctrl_rail);
	if (!err)
		rails_warn(session);
	return err;
}

/* ---- opening ---------------------------------------------------------- */

static int on_note(void *arg, struct peer *peer, const void *data,
		   uint32_t len_bytes)
{
	struct tcpx_session *session = arg;
	struct peering *peering = peer->user;
	struct inbox_note *note = inbox_note_alloc(len_bytes);

	if (!note)
		return TCPX_ENOMEM;
	note->charge_peer = peering->handle;
	note->pub.peer = peering->hidden ? load_acquire(&session->self_peer) :
					   peering->id;
	memcpy(note->pub.name, peering->name, sizeof(note->pub.name));
	if (len_bytes)
		memcpy((void *)(uintptr_t)note->pub.data, data, len_bytes);
	note->charge_bytes = len_bytes;
	/* First: who takes it takes it off. */
	add_relaxed(&peering->unread_bytes, inbox_note_bytes(note));
	inbox_put_note(session->inbox, note);
	engine_tell(session->engine, TCPX_WAKE_NOTIFY);
	return 0;
}

static const struct engine_ops engine_ops = {
	.region_find = memory_find,
	.note = on_note,
	.lane_lost = flows_on_lane_lost,
	.control_lost = redial_on_control_lost,
	.lane_opened = flows_on_lane_opened,
	.peer_lost = connect_peer_lost,
};

static int open_gpus(struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;
	struct gpu_params params = {
		.log = &session->later.log,
		.slot_bytes = automatic_chunk_bytes(config),
		.n_slots = config->gpu_slots,
		.way = config->gpu_copy_engine ? GPU_COPY_ENGINE :
						 GPU_COPY_KERNEL,
		.resident = config->gpu_resident,
	};

	randombytes_buf(&params.seed, sizeof(params.seed));
	return gpu_set_create(config->gpu, &params, &session->gpus);
}

/* What peers are told, and whether any of it carries memory of GPUs. */
static void list_transports(struct tcpx_session *session)
{
	const struct engine *engine = session->engine;
	struct text text;

	text_init(&text, session->transports, sizeof(session->transports));
	for (uint32_t i = 0; i < engine->n_transports; i++) {
		const struct engine_transport *via = &engine->transports[i];

		text_add(&text, "%s%s", i ? "," : "", via->ops->name);
		session->carries_gpu |= !!(via->caps & TRANSPORT_GPU);
	}
}

static int open_engine(struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;
	uint32_t workers = automatic_workers(config);
	struct engine_params params = {
		.log = &session->later.log,
		.n_contexts = workers ? workers : 1,
		.workers = workers > 0,
		.busy_poll_us = config->busy_poll_us,
		.stream_poll_us = automatic_stream_poll_us(),
		.copy_below_bytes = config->copy_below_bytes,
		.through_host = config->gpu_through_host,
		.deadline_ms = config->deadline_ms,
		.host_chunk_bytes = automatic_host_chunk_bytes(config),
		.transports = config->transports,
		.transport =
			{
				.log = &session->later.log,
				.gpus = session->gpus,
				.chunk_bytes = automatic_chunk_bytes(config),
				.window_chunks = config->window_chunks,
				.slot_bytes = automatic_chunk_bytes(config),
				.socket_buffer_bytes =
					config->socket_buffer_bytes,
			},
	};

	randombytes_buf(&params.transport.seed, sizeof(params.transport.seed));
	int err =
		engine_create(&params, &engine_ops, session, &session->engine);

	if (!err)
		list_transports(session);
	return err;
}

static void fill_ports(struct tcpx_session *session, uint16_t port)
{
	for (uint32_t i = 0; i < session->n_rails; i++)
		if (!addr_port(&session->rails[i].addr))
			addr_set_port(&session->rails[i].addr, port);
	if (!addr_port(&session->ctrl))
		addr_set_port(&session->ctrl, port);
}

static int open_boot(struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;
	struct boot_params params = {
		.log = &session->log,
		.shared_secret = config->secret,
		.name = config->name,
		.bind = config->bind,
		.port_first = config->port_first,
		.port_last = config->port_last,
		.limits = session->limits,
		.transports = session->transports,
		.rails = session->rails,
		.n_rails = session->n_rails,
		.max_half_open = config->max_half_open,
		.timeout_ms = config->connect_timeout_ms,
	};

	memcpy(params.session, session->id, sizeof(params.session));
	memcpy(params.secret, session->secret, sizeof(params.secret));
	int err =
		boot_open(&params, &connect_boot_ops, session, &session->boot);

	explicit_bzero(params.secret, sizeof(params.secret));
	if (!err)
		fill_ports(session, boot_port(session->boot));
	return err;
}

static int init_maps(struct tcpx_session *session)
{
	int err = idmap_init(&session->peers, HANDLE_PEER);

	if (!err)
		err = idmap_init(&session->mems, HANDLE_MEM);
	if (!err)
		err = idmap_init(&session->remote_mems, HANDLE_REMOTE_MEM);
	if (!err)
		err = idmap_init(&session->xfers, HANDLE_XFER);
	if (!err)
		err = inbox_create(&session->inbox);
	return err;
}

static struct tcpx_session *new_session(void)
{
	struct tcpx_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	later_init(&session->later);
	pthread_mutex_init(&session->lock, NULL);
	pthread_mutex_init(&session->mem_lock, NULL);
	pthread_mutex_init(&session->xfer_lock, NULL);
	list_init(&session->peerings);
	list_init(&session->dialings);
	list_init(&session->free_xfers);
	list_init(&session->xfer_slabs);
	randombytes_buf(session->id, sizeof(session->id));
	randombytes_buf(session->secret, sizeof(session->secret));
	return session;
}

static int open_parts(struct tcpx_session *session)
{
	int err = fork_mark_add(&session->forked);

	if (!err)
		err = init_maps(session);
	set_limits(session);
	if (!err)
		err = find_rails(session);
	if (!err)
		err = open_gpus(session);
	if (!err)
		err = open_engine(session);
	if (!err)
		err = open_boot(session);
	if (!err)
		err = control_start(session);
	return err;
}

static int no_place_for_it(const struct tcpx_config *config)
{
	struct log log = {0};

	if (config)
		config_log(config, &log);
	log_error(&log, "session", "tcpx_session_open: session is NULL");
	return TCPX_EINVAL;
}

int tcpx_session_open(const struct tcpx_config *config,
		      struct tcpx_session **out)
{
	struct tcpx_config own;
	int err;

	if (!out)
		return no_place_for_it(config);
	if (!config) {
		err = tcpx_config_init(&own, NULL, NULL);
		if (err)
			return err;
		config = &own;
	}
	if (sodium_init() < 0)
		return TCPX_EINTERNAL;
	struct tcpx_session *session = new_session();

	if (!session)
		return TCPX_ENOMEM;
	config_log(config, &session->log);
	err = config_copy(config, &session->log, &session->config);
	later_begin(&session->later, &session->log);
	if (!err)
		err = open_parts(session);
	if (err) {
		tcpx_session_close(session);
		return err;
	}
	*out = session;
	return 0;
}

/* ---- closing ---------------------------------------------------------- */

/* Notifications that were said to be sent may hold up the end for so long, of
 * all peers together; looked at so often. */
#define LAST_WORDS_MS 500
#define LAST_WORDS_LOOK_MS 1

static void look_if_told(struct peering *peering, void *arg)
{
	bool *told = arg;

	pthread_mutex_lock(&peering->session->lock);
	struct peer *peer = peering->peer;

	pthread_mutex_unlock(&peering->session->lock);
	if (*told && peer)
		*told = peer_is_told(peer);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Goodbyes end what is on its way. */
static void let_last_words_go(struct tcpx_session *session)
{
	uint64_t end_ns = clock_deadline_ns(LAST_WORDS_MS);

	while (clock_now_ns() < end_ns) {
		bool told = true;

		peering_each(session, look_if_told, &told);
		if (told)
			return;
		(void)engine_drive(session->engine, never, NULL,
				   clock_deadline_ns(LAST_WORDS_LOOK_MS));
	}
}

static void end_peering(struct peering *peering, void *arg)
{
	(void)arg;
	peering_end(peering, TCPX_ESHUTDOWN, "the session was closed");
}

void tcpx_session_close(struct tcpx_session *session)
{
	/* Of the parent of a fork(): nothing here can be ended but there. */
	if (!session_is_ours(session))
		return;
	if (session->has_control)
		let_last_words_go(session);
	control_stop(session);
	peering_each(session, end_peering, NULL);
	if (session->boot)
		boot_close(session->boot);
	connect_forget_dialings(session);
	transfer_free_all(session);
	if (session->engine) {
		engine_stop(session->engine);
		engine_destroy(session->engine);
	}
	gpu_set_destroy(session->gpus);
	/* Nobody is left who could log. */
	later_flush(&session->later);
	memory_free_all(session);
	u64map_fini(&session->tokens);
	idmap_fini(&session->peers);
	idmap_fini(&session->mems);
	idmap_fini(&session->remote_mems);
	idmap_fini(&session->xfers);
	if (session->inbox)
		inbox_destroy(session->inbox);
	config_free(session->config);
	later_fini(&session->later);
	pthread_mutex_destroy(&session->lock);
	pthread_mutex_destroy(&session->mem_lock);
	pthread_mutex_destroy(&session->xfer_lock);
	explicit_bzero(session->secret, sizeof(session->secret));
	fork_mark_remove(&session->forked);
	free(session);
}

/* ---- what is wrong with a call ---------------------------------------- */

int session_no_such(const struct tcpx_session *session, const char *what,
		    uint64_t handle)
{
	/* No error for sure: another thread may just have given it up. */
	if (session_is_ours(session))
		log_warn(&session->log, "session",
			 "no such %s (any more): %" PRIx64, what, handle);
	return TCPX_ENOENT;
}

int session_bad_argument(const struct tcpx_session *session, const char *call,
			 const char *what)
{
	if (session_is_ours(session))
		log_error(&session->log, "session", "%s: %s", call, what);
	return TCPX_EINVAL;
}

int session_null(const struct tcpx_session *session, const char *call)
{
	return session_bad_argument(session, call, "an argument is NULL");
}

/* ---- small calls ------------------------------------------------------ */

int tcpx_session_blob(struct tcpx_session *session, void *buf, size_t cap_bytes,
		      size_t *len_bytes)
{
	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return session_null(session, __func__);
	struct conn_blob blob = {.ctrl = session->ctrl,
				 .n_rails = session->n_rails};

	memcpy(blob.session, session->id, sizeof(blob.session));
	memcpy(blob.secret, session->secret, sizeof(blob.secret));
	strncpy(blob.name, session->config->name, sizeof(blob.name) - 1);
	memcpy(blob.rails, session->rails,
	       session->n_rails * sizeof(*blob.rails));
	int err = conn_blob_encode(&blob, buf, cap_bytes, len_bytes);

	explicit_bzero(&blob, sizeof(blob));
	return err;
}

uint16_t tcpx_session_port(struct tcpx_session *session)
{
	return session ? boot_port(session->boot) : 0;
}

const char *tcpx_session_name(struct tcpx_session *session)
{
	return session ? session->config->name : "";
}

void session_visit(struct tcpx_session *session)
{
	engine_visit_now_and_then(session->engine);
}

struct progress {
	struct context *ctx;
	uint32_t worked;
};

static bool has_worked(void *arg)
{
	struct progress *p = arg;

	return load_relaxed(&p->ctx->worked) != p->worked;
}

int tcpx_session_progress(struct tcpx_session *session, int timeout_ms)
{
	if (!session_is_ours(session))
		return TCPX_EINVAL;
	struct engine *engine = session->engine;
	struct progress p = {&engine->contexts[0],
			     load_relaxed(&engine->contexts[0].worked)};

	if (engine_visit(engine))
		return 0;
	if (!timeout_ms)
		return TCPX_EAGAIN;
	return engine_drive(engine, has_worked, &p,
			    clock_deadline_ns(timeout_ms)) ?
		       TCPX_EAGAIN :
		       0;
}
