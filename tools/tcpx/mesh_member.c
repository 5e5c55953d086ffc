/* SPDX-License-Identifier: Apache-2.0 */
/* What every rank does: joins, and does its part of pairs when asked. */
#include "mesh.h"

#include "base/addr.h"
#include "clock.h"
#include "cmd.h"
#include "gpus.h"
#include "log.h"
#include "message.h"
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARGIN_MS 3000
#define STEP_MS 100
#define SOON_MS 2000
#define LOOK_EVERY_MS 1000
#define SAMPLES_MAX 65536u

/* ---- joining -------------------------------------------------------------- */

static void fail(struct mesh_member *m, int exit_status, const char *what,
		 const char *why)
{
	m->exit_status = exit_status;
	if (!m->quiet)
		complain("rank %u: %s: %s", m->self->rank, what, why);
}

/* GPUs if there are any and nothing else was said; of them, the one of our
 * number where processes share the host. */
static void find_places(struct mesh_member *m)
{
	const struct mesh_options *o = m->options;
	uint32_t n = m->data && o->where != MESH_WHERE_GIVEN ?
			     tcpx_gpu_count(m->data, NULL, 0) :
			     0;
	enum place_kind kind =
		o->where == MESH_WHERE_GPUS ? o->params.mem.kind : PLACE_GPU;

	m->n_places = 1;
	m->places[0] = o->params.mem;
	if (!n)
		return;
	m->n_places = n < MESH_PLACES_MAX ? n : MESH_PLACES_MAX;
	for (uint32_t i = 0; i < m->n_places; i++)
		m->places[i] = (struct place){kind, i};
	if (m->self->local_ranks > 1) {
		m->n_places = 1;
		m->places[0].index = m->self->local_rank % n;
	}
}

static json_t *place_json(struct mesh_member *m, const struct place *place)
{
	struct tcpx_gpu_info info = {.size_bytes = sizeof(info)};
	char mem[PLACE_TEXT_MAX];

	if (place->kind == PLACE_HOST ||
	    tcpx_gpu_info(m->data, place->index, &info))
		info.name[0] = info.pci[0] = '\0';
	return json_pack("{ss ss ss}", "mem", place_format(place, mem), "gpu",
			 info.name, "pci", info.pci);
}

static json_t *join_message(struct mesh_member *m)
{
	unsigned char blob[TCPX_BLOB_MAX];
	char host[64] = "", why[256] = "";
	json_t *places = json_array();
	size_t len = 0;

	gethostname(host, sizeof(host) - 1);
	if (!m->data)
		snprintf(why, sizeof(why), "its session cannot be opened");
	for (uint32_t i = 0; i < m->n_places && m->data; i++) {
		if (!why[0])
			(void)!place_check(m->data, &m->places[i], why,
					   sizeof(why));
		json_array_append_new(places, place_json(m, &m->places[i]));
	}
	if (m->data && tcpx_session_blob(m->data, blob, sizeof(blob), &len))
		snprintf(why, sizeof(why), "it has no connection blob");
	m->unfit = why[0];
	return json_pack("{ss si si si ss ss so so ss*}", "do", "join",
			 "protocol", MESH_PROTOCOL, "rank", (int)m->self->rank,
			 "ranks", (int)m->self->ranks, "host", host, "name",
			 m->data ? tcpx_session_name(m->data) : "", "blob",
			 json_hex(blob, len), "places", places, "error",
			 why[0] ? why : NULL);
}

static int connect_root(struct mesh_member *m)
{
	char address[300];

	if (m->root_blob)
		return tcpx_peer_connect(m->control, m->root_blob,
					 m->root_blob_bytes, &m->root);
	addr_join(m->self->root_host, m->self->root_port, address,
		  sizeof(address));
	return tcpx_peer_connect_address(m->control, address, &m->root);
}

/* In steps: rank 0's own may find that its root has ended meanwhile. */
static int wait_root(struct mesh_member *m)
{
	uint64_t begin_ns = now_ns(), told_ns = begin_ns + SOON_MS * NS_PER_MS;
	uint64_t deadline_ns =
		begin_ns + m->options->join_ns + MARGIN_MS * NS_PER_MS;
	int status;

	do {
		status = tcpx_peer_wait(m->control, m->root, STEP_MS);
		if (status == TCPX_ETIMEDOUT && !m->quiet &&
		    now_ns() >= told_ns) {
			told_ns = UINT64_MAX;
			fprintf(stderr,
				"rank %u: no answer from rank 0 at %s, port "
				"%u, yet, trying for %.3g s\n",
				m->self->rank, m->self->root_host,
				m->self->root_port, m->options->join_ns / 1e9);
		}
	} while (status == TCPX_ETIMEDOUT && !m->over &&
		 now_ns() < deadline_ns);
	return status;
}

static int join(struct mesh_member *m)
{
	const char *cause = NULL;
	json_t *path = NULL;
	char what[320];
	int status = connect_root(m);

	if (!status)
		status = wait_root(m);
	if (!status)
		return message_send(m->control, m->root, join_message(m));
	if (m->root)
		path = path_describe(m->control, m->root);
	cause = json_string_value(json_object_get(path, "cause"));
	snprintf(what, sizeof(what), "rank 0 cannot be reached at %s, port %u",
		 m->self->root_host, m->self->root_port);
	fail(m, EXIT_SETUP, what,
	     cause && *cause ? cause : tcpx_strerror(status));
	json_decref(path);
	return status;
}

/* ---- requests -------------------------------------------------------------- */

static json_t *refuse(const char *why)
{
	return json_pack("{ss}", "error", why);
}

static int decode(const json_t *request, struct case_params *params,
		  uint32_t *rank, uint32_t *place)
{
	json_int_t peer = -1, at = -1;

	if (json_unpack((json_t *)request, "{sI sI}", "rank", &peer, "place",
			&at) ||
	    peer < 0 || at < 0 ||
	    case_params_decode(json_object_get(request, "case"), params))
		return TCPX_EINVAL;
	*rank = (uint32_t)peer;
	*place = (uint32_t)at;
	return 0;
}

/* The side that answers: memory, laid out. */
static json_t *do_prepare(struct mesh_member *m, const json_t *request)
{
	struct case_params params;
	json_t *mem;
	int status;

	end_fini(&m->served);
	if (decode(request, &params, &m->served_from, &m->served_place))
		return refuse("a case that makes no sense");
	mesh_logs_turn(&m->logs, m->served_place);
	status = end_init(&m->served, m->data, 0, false, &params);
	if (!status)
		status = end_fill(&m->served, 1);
	mem = status ? NULL : end_mem(&m->served);
	mesh_logs_line(&m->logs, m->served_place, "for rank %u: memory is %s",
		       m->served_from, mem ? "ready" : "not to be had");
	return mem ? json_pack("{so}", "mem", mem) : refuse(m->served.failure);
}

static json_t *do_finish(struct mesh_member *m, const json_t *request)
{
	bool check = json_is_true(json_object_get(request, "check")), ok = true;
	char why[128] = "";

	if (check && m->served.session)
		ok = end_check(&m->served, 1, why, sizeof(why));
	mesh_logs_line(&m->logs, m->served_place, "for rank %u: %s",
		       m->served_from,
		       !ok   ? why :
		       check ? "every byte is right" :
			       "done");
	end_fini(&m->served);
	return json_pack("{sb ss}", "ok", ok, "why", why);
}

static int connect_peer(struct mesh_member *m, uint32_t rank,
			const json_t *request)
{
	unsigned char blob[TCPX_BLOB_MAX];
	size_t len;
	int status;

	if (rank >= m->self->ranks)
		return TCPX_EINVAL;
	if (!m->peers[rank]) {
		status = json_unhex(json_object_get(request, "blob"), blob,
				    sizeof(blob), &len);
		if (!status)
			status = tcpx_peer_connect(m->data, blob, len,
						   &m->peers[rank]);
		if (status)
			return status;
	}
	return tcpx_peer_wait(m->data, m->peers[rank],
			      (int)(m->options->pair_ns / NS_PER_MS));
}

/* Why there is no connection, in words. */
static json_t *refuse_peer(struct mesh_member *m, uint32_t rank, int status)
{
	json_t *path = NULL, *reply;
	const char *cause;
	char why[320];

	if (rank < m->self->ranks && m->peers[rank])
		path = path_describe(m->data, m->peers[rank]);
	cause = json_string_value(json_object_get(path, "cause"));
	snprintf(why, sizeof(why), "cannot connect: %s",
		 cause && *cause ? cause : tcpx_strerror(status));
	reply = refuse(why);
	json_decref(path);
	return reply;
}

struct timed {
	uint64_t elapsed_ns;
	struct samples samples;
};

static int run_timed(struct mesh_member *m, struct end *end,
		     struct timed *timed)
{
	uint64_t begin_ns;
	int status = 0;

	if (m->options->warmup)
		status = end_run(end, m->options->warmup, NULL);
	begin_ns = now_ns();
	if (!status)
		status = end_run(end, m->options->iters, &timed->samples);
	timed->elapsed_ns = now_ns() - begin_ns;
	return status;
}

static json_t *result(struct mesh_member *m, struct end *end,
		      struct timed *timed)
{
	const struct case_params *p = &end->params;
	double bytes = (double)end_bytes(end) * (double)m->options->iters;
	bool check = m->options->verify && p->op == CASE_READ, ok = true;
	struct path_summary path;
	char why[128] = "";

	if (check)
		ok = end_check(end, 1, why, sizeof(why));
	path_query(m->data, end->peer, &p->mem, &p->peer_mem, &path);
	return json_pack("{sf sf sf ss si si sb ss}", "gigabytes_per_s",
			 bytes / (double)timed->elapsed_ns, "p50_us",
			 samples_percentile_us(&timed->samples, 0.5), "p99_us",
			 samples_percentile_us(&timed->samples, 0.99),
			 "transport", path.transport, "rails",
			 (int)path.n_rails, "flows", (int)path.n_flows, "ok",
			 ok, "why", why);
}

static void log_result(struct mesh_member *m, uint32_t place, uint32_t rank,
		       const json_t *reply)
{
	const char *error = json_string_value(json_object_get(reply, "error"));

	if (error)
		mesh_logs_line(&m->logs, place, "with rank %u: %s", rank,
			       error);
	else
		mesh_logs_line(
			&m->logs, place,
			"with rank %u: %.3f GB/s, p50 %.1f us, by %s", rank,
			json_number_value(
				json_object_get(reply, "gigabytes_per_s")),
			json_number_value(json_object_get(reply, "p50_us")),
			json_string_value(json_object_get(reply, "transport")));
}

/* The side that initiates: everything that takes time. */
static json_t *do_run(struct mesh_member *m, const json_t *request)
{
	struct timed timed = {0};
	struct case_params params;
	struct end end = {0};
	uint32_t rank, place;
	json_t *reply;
	int status;

	if (decode(request, &params, &rank, &place))
		return refuse("a case that makes no sense");
	mesh_logs_turn(&m->logs, place);
	status = connect_peer(m, rank, request);
	if (status)
		return refuse_peer(m, rank, status);
	if (samples_init(&timed.samples, SAMPLES_MAX))
		return refuse("no memory");
	status = end_init(&end, m->data, m->peers[rank], true, &params);
	if (!status)
		status = end_prepare(&end, json_object_get(request, "mem"));
	if (!status)
		status = end_fill(&end, 1);
	if (!status)
		status = run_timed(m, &end, &timed);
	reply = status ? refuse(end.failure) : result(m, &end, &timed);
	log_result(m, place, rank, reply);
	end_fini(&end);
	samples_fini(&timed.samples);
	return reply;
}

static json_t *do_bye(struct mesh_member *m, const json_t *request)
{
	bool held = json_is_true(json_object_get(request, "held"));

	m->exit_status = held ? EXIT_HELD : EXIT_BROKE;
	return json_object();
}

static json_t *do_abort(struct mesh_member *m, const json_t *request)
{
	const char *why = json_string_value(json_object_get(request, "why"));
	bool began = json_is_true(json_object_get(request, "began"));

	fail(m, began ? EXIT_BROKE : EXIT_SETUP, "rank 0 has ended it",
	     why ? why : "no reason given");
	return json_object();
}

static const struct request {
	const char *name;
	json_t *(*answer)(struct mesh_member *m, const json_t *request);
	bool last;
} requests[] = {
	{"prepare", do_prepare, false}, {"run", do_run, false},
	{"finish", do_finish, false},	{"bye", do_bye, true},
	{"abort", do_abort, true},
};

static void root_is_gone(struct mesh_member *m, int status)
{
	fail(m, m->unfit ? EXIT_SETUP : EXIT_BROKE, "rank 0 is gone",
	     tcpx_strerror(status));
}

static bool answer(struct mesh_member *m, const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "do"));
	const struct request *request = NULL;
	json_t *reply;
	int status;

	for (unsigned i = 0; i < sizeof(requests) / sizeof(*requests); i++)
		if (name && !strcmp(requests[i].name, name))
			request = &requests[i];
	reply = request ? request->answer(m, message) :
			  refuse("an unknown request");
	status = message_send(m->control, m->root, reply);
	if (status)
		root_is_gone(m, status);
	return !status && !(request && request->last);
}

/* Rank 0's liveness is the deadline: others may be measured for long. */
static void serve(struct mesh_member *m)
{
	json_t *message;
	bool go_on = true;
	int status;

	while (go_on) {
		status = message_wait(m->control, m->root, LOOK_EVERY_MS,
				      &message, NULL);
		if (status == TCPX_ETIMEDOUT)
			continue;
		if (status) {
			root_is_gone(m, status);
			return;
		}
		go_on = answer(m, message);
		json_decref(message);
	}
}

void *mesh_member_run(void *arg)
{
	struct mesh_member *m = arg;
	char host[64] = "";

	m->exit_status = EXIT_SETUP;
	gethostname(host, sizeof(host) - 1);
	find_places(m);
	m->peers = calloc(m->self->ranks, sizeof(*m->peers));
	if (!m->peers ||
	    mesh_logs_open(m->options->log_dir, host, m->self->rank, m->places,
			   m->n_places, &m->logs)) {
		free(m->peers);
		return NULL;
	}
	mesh_logs_turn(&m->logs, 0);
	if (!join(m))
		serve(m);
	end_fini(&m->served);
	mesh_logs_close(&m->logs);
	free(m->peers);
	return NULL;
}
