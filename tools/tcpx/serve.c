/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include "cmd.h"
#include "common/size.h"
#include "end.h"
#include "interrupt.h"
#include "message.h"
#include "proof.h"
#include "raw.h"
#include "samples.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLIENT_SILENT_MS 600000
#define ACCEPT_WAIT_MS 5000

/* What one client has here. */
struct service {
	const struct server *server;
	struct tcpx_session *session;
	uint64_t peer;
	struct end end; /* all zero when there is no case */
	int listener; /* -1: none */
	struct raw_token token;
	struct raw_link link;
	bool linked;
	bool over; /* bye */
	uint64_t cpu_mark_us;
	char failure[256]; /* of what start or raw_run began */
};

/*
 * Each request: do_now makes the reply, or NULL having filled failure; then,
 * after the reply has gone, do_next does what takes long.
 */
struct request {
	const char *name;
	json_t *(*do_now)(struct service *service, const json_t *request);
	void (*do_next)(struct service *service, const json_t *request);
};

static json_t *refuse(struct service *service, const char *why)
{
	snprintf(service->failure, sizeof(service->failure), "%s", why);
	return NULL;
}

static json_t *do_hello(struct service *service, const json_t *request)
{
	json_int_t protocol = 0;

	json_unpack((json_t *)request, "{sI}", "protocol", &protocol);
	if (protocol != MESSAGE_PROTOCOL)
		return refuse(service, "another version of tcpx");
	return json_pack("{ss ss}", "version", tcpx_version(), "name",
			 tcpx_session_name(service->session));
}

/* Asked before a case: that it cannot begin is no failure of a transfer. */
static json_t *do_place(struct service *service, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "mem"));
	struct place place;
	char why[192];

	if (!text || place_parse(text, &place))
		return refuse(service, "memory that makes no sense");
	if (place_check(service->session, &place, why, sizeof(why)))
		return refuse(service, why);
	return json_object();
}

static json_t *do_case(struct service *service, const json_t *request)
{
	struct case_params params;
	char piece[32];
	json_t *mem;

	end_fini(&service->end);
	if (case_params_decode(request, &params))
		return refuse(service, "a case that makes no sense");
	if (end_init(&service->end, service->session, service->peer, false,
		     &params))
		return refuse(service, service->end.failure);
	mem = end_mem(&service->end);
	if (!mem)
		return refuse(service, "no memory blob");
	if (service->server->talkative)
		printf("  %s, %u x %s, %u outstanding%s\n",
		       case_op_name(params.op), params.n_pieces,
		       size_format(params.piece_bytes, piece, sizeof(piece)),
		       params.n_outstanding,
		       params.both_directions ? ", both directions" : "");
	return json_pack("{so}", "mem", mem);
}

static json_t *do_peer_mem(struct service *service, const json_t *request)
{
	const json_t *mem = json_object_get(request, "mem");

	if (!service->end.session)
		return refuse(service, "no case");
	if (end_prepare(&service->end, mem))
		return refuse(service, service->end.failure);
	return json_object();
}

static uint32_t round_of(const json_t *request)
{
	return (uint32_t)json_integer_value(json_object_get(request, "round"));
}

static json_t *do_fill(struct service *service, const json_t *request)
{
	if (!service->end.session)
		return refuse(service, "no case");
	if (end_fill(&service->end, round_of(request)))
		return refuse(service, service->end.failure);
	return json_object();
}

static json_t *do_start(struct service *service, const json_t *request)
{
	if (!service->end.slots)
		return refuse(service, "no case");
	service->cpu_mark_us = cpu_used_us();
	return json_object();
}

static void next_start(struct service *service, const json_t *request)
{
	json_int_t count =
		json_integer_value(json_object_get(request, "count"));
	int status = 0;

	if (service->end.params.op == CASE_NOTIFY)
		status = end_pingpong(&service->end, (uint64_t)count, NULL);
	else if (service->end.n_initiators + service->end.n_receivers)
		status = end_run(&service->end, (uint64_t)count, NULL);
	if (status)
		refuse(service, service->end.failure);
}

static json_t *do_stop(struct service *service, const json_t *request)
{
	if (service->failure[0])
		return NULL;
	return json_pack("{sI}", "cpu_us",
			 (json_int_t)(cpu_used_us() - service->cpu_mark_us));
}

static json_t *do_check(struct service *service, const json_t *request)
{
	char why[128] = "";
	bool ok;

	if (!service->end.session)
		return refuse(service, "no case");
	ok = end_check(&service->end, round_of(request), why, sizeof(why));
	return json_pack("{sb ss}", "ok", ok, "why", why);
}

static void raw_drop(struct service *service)
{
	interrupt_set_link(NULL);
	if (service->linked)
		raw_close(&service->link);
	service->linked = false;
	if (service->listener >= 0)
		close(service->listener);
	service->listener = -1;
}

static json_t *do_raw_open(struct service *service, const json_t *request)
{
	json_int_t flows, forward, port, buffer;
	uint16_t bound = 0;
	json_t *token;
	size_t len;

	raw_drop(service);
	if (json_unpack((json_t *)request, "{sI sI sI sI so}", "flows", &flows,
			"forward", &forward, "port", &port, "buffer_bytes",
			&buffer, "token", &token) ||
	    flows < 1 || flows > RAW_FLOWS_MAX || forward < 0 ||
	    forward > flows || port < 0 || port > 65535 ||
	    json_unhex(token, &service->token, sizeof(service->token), &len) ||
	    len != sizeof(service->token))
		return refuse(service, "raw flows that make no sense");
	service->link.n = (unsigned)flows;
	service->link.n_forward = (unsigned)forward;
	service->listener = raw_listen(NULL, (uint16_t)port, &bound);
	if (service->listener < 0)
		return refuse(service, strerror(-service->listener));
	return json_pack("{si}", "port", bound);
}

static void next_raw_open(struct service *service, const json_t *request)
{
	json_int_t buffer =
		json_integer_value(json_object_get(request, "buffer_bytes"));
	int err = raw_accept(service->listener, &service->token, ACCEPT_WAIT_MS,
			     &service->link);

	close(service->listener);
	service->listener = -1;
	service->linked = err == 0;
	if (err)
		refuse(service, strerror(-err));
	else
		raw_set_buffers(&service->link, (uint32_t)buffer);
	if (service->linked)
		interrupt_set_link(&service->link);
}

static json_t *do_raw_run(struct service *service, const json_t *request)
{
	if (!service->linked || !service->end.session)
		return refuse(service, "no raw flows");
	service->cpu_mark_us = cpu_used_us();
	return json_object();
}

static void next_raw_run(struct service *service, const json_t *request)
{
	struct end *end = &service->end;
	json_int_t count =
		json_integer_value(json_object_get(request, "count"));
	bool spin = end->params.wait == WAIT_SPIN;
	struct raw_pingpong pingpong = {
		.message_bytes = (uint32_t)end->params.piece_bytes,
		.n_round_trips = (uint64_t)count,
		.spin = spin,
	};
	struct raw_stream stream = {
		.source = end->source.host,
		.sink = end->sink.host,
		.area_bytes = end_bytes(end) * end->params.n_outstanding,
		.total_bytes = end_bytes(end) * (uint64_t)count,
		.spin = spin,
	};
	uint64_t elapsed_ns;
	int err;

	if (end->params.op == CASE_NOTIFY)
		err = raw_pingpong_run(&service->link, &pingpong, NULL);
	else
		err = raw_stream_run(&service->link, &stream, &elapsed_ns);
	if (err)
		refuse(service, strerror(-err));
}

static json_t *do_raw_close(struct service *service, const json_t *request)
{
	raw_drop(service);
	return json_object();
}

static json_t *do_counters(struct service *service, const json_t *request)
{
	return json_pack("{so}", "nics",
			 proof_read(service->session, service->peer));
}

static json_t *do_end(struct service *service, const json_t *request)
{
	raw_drop(service);
	end_fini(&service->end);
	return json_object();
}

static json_t *do_bye(struct service *service, const json_t *request)
{
	service->over = true;
	return json_object();
}

static const struct request requests[] = {
	{"hello", do_hello, NULL},
	{"place", do_place, NULL},
	{"case", do_case, NULL},
	{"peer_mem", do_peer_mem, NULL},
	{"fill", do_fill, NULL},
	{"start", do_start, next_start},
	{"stop", do_stop, NULL},
	{"check", do_check, NULL},
	{"raw_open", do_raw_open, next_raw_open},
	{"raw_run", do_raw_run, next_raw_run},
	{"raw_close", do_raw_close, NULL},
	{"counters", do_counters, NULL},
	{"end", do_end, NULL},
	{"bye", do_bye, NULL},
};

static const struct request *find(const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "do"));

	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (name && !strcmp(requests[i].name, name))
			return &requests[i];
	return NULL;
}

static int answer(struct service *service, const json_t *message)
{
	const struct request *request = find(message);
	json_t *reply;
	int status;

	reply = request ? request->do_now(service, message) :
			  refuse(service, "unknown request");
	if (!reply) {
		reply = json_pack("{ss}", "error", service->failure);
		service->failure[0] = '\0';
		request = NULL;
	}
	status = message_send(service->session, service->peer, reply);
	if (status || !request || !request->do_next)
		return status;
	request->do_next(service, message);
	return 0;
}

/* The client's next request, unless it is gone, long silent, or we are to
 * end. */
static int next_request(const struct server *server, uint64_t peer,
			json_t **message)
{
	int status = TCPX_ETIMEDOUT;

	for (int waited_ms = 0;
	     status == TCPX_ETIMEDOUT && waited_ms < CLIENT_SILENT_MS &&
	     server->keep_on(server->arg);
	     waited_ms += server->look_every_ms)
		status = message_wait(server->session, peer,
				      server->look_every_ms, message, NULL);
	return status;
}

static void print_gone(const struct service *service, int status)
{
	if (service->over)
		printf("client gone\n");
	else if (interrupt_came())
		printf("interrupted; the client was told\n");
	else
		printf("client gone: %s\n", tcpx_strerror(status));
}

/* Until the client says bye, or is gone. */
static void serve_client(const struct server *server, uint64_t peer,
			 json_t *first)
{
	struct service service = {.server = server,
				  .session = server->session,
				  .peer = peer,
				  .listener = -1};
	json_t *message = first;
	int status = 0;

	interrupt_set_peer(server->session, peer);
	while (!status && !service.over) {
		status = answer(&service, message);
		json_decref(message);
		message = NULL;
		if (!status && !service.over)
			status = next_request(server, peer, &message);
	}
	interrupt_set_peer(NULL, 0);
	raw_drop(&service);
	end_fini(&service.end);
	if (server->talkative)
		print_gone(&service, status);
}

static void drop_events(struct tcpx_session *session)
{
	struct tcpx_event event;

	while (tcpx_event_poll(session, &event) == 0)
		if (event.kind == TCPX_EVENT_PEER_LOST)
			tcpx_peer_disconnect(session, event.peer);
}

void serve(const struct server *server)
{
	json_t *message;
	uint64_t peer;
	int status;

	while (server->keep_on(server->arg)) {
		drop_events(server->session);
		status = message_wait(server->session, 0, server->look_every_ms,
				      &message, &peer);
		if (status && status != TCPX_ETIMEDOUT)
			return;
		if (status)
			continue;
		if (server->talkative)
			printf("client connected\n");
		serve_client(server, peer, message);
	}
}
