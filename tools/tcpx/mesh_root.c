/* SPDX-License-Identifier: Apache-2.0 */
/* Rank 0's other half: waits for all ranks, asks for pair after pair, and
 * ends it in words when somebody is missing. */
#include "mesh.h"

#include "clock.h"
#include "cmd.h"
#include "message.h"
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 100
#define BYE_WAIT_NS (3 * NS_PER_S)

static int give_up(struct mesh_root *root, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The first reason counts. Returns status. */
static int give_up(struct mesh_root *root, int status, const char *fmt, ...)
{
	va_list args;

	if (root->failure[0])
		return status;
	va_start(args, fmt);
	vsnprintf(root->failure, sizeof(root->failure), fmt, args);
	va_end(args);
	return status;
}

static uint32_t rank_of(const struct mesh_root *root, uint64_t peer)
{
	uint32_t i = 0;

	while (i < root->self->ranks && root->ranks[i].peer != peer)
		i++;
	return i;
}

/* Has anybody gone? */
static int look_for_losses(struct mesh_root *root)
{
	struct tcpx_event event;
	int status = 0;

	while (!tcpx_event_poll(root->session, &event)) {
		uint32_t rank = event.kind == TCPX_EVENT_PEER_LOST ?
					rank_of(root, event.peer) :
					root->self->ranks;

		if (rank == root->self->ranks)
			continue;
		root->ranks[rank].peer = 0;
		status = give_up(root, TCPX_EPEER,
				 "rank %u on %s is gone: %s (%u of %u pairs "
				 "were measured)",
				 rank, root->ranks[rank].host,
				 event.cause[0] ? event.cause :
						  tcpx_strerror(event.status),
				 root->n_done, root->n_wanted);
	}
	return status;
}

int mesh_ask(struct mesh_root *root, uint32_t rank, json_t *request,
	     uint64_t wait_ns, json_t **reply, char *why, size_t cap_bytes)
{
	uint64_t from, peer = root->ranks[rank].peer;
	uint64_t deadline_ns = now_ns() + wait_ns;
	json_t *message;
	const char *error;
	int status = message_send(root->session, peer, request);

	if (status) {
		int lost = look_for_losses(root);

		return lost ? lost :
			      give_up(root, status,
				      "rank %u on %s cannot be asked: %s", rank,
				      root->ranks[rank].host,
				      tcpx_strerror(status));
	}
	while (true) {
		status = message_wait(root->session, 0, LOOK_EVERY_MS, &message,
				      &from);
		if (!status && from == peer)
			break;
		if (!status)
			json_decref(message);
		status = look_for_losses(root);
		if (status)
			return status;
		if (now_ns() > deadline_ns)
			return give_up(root, TCPX_ETIMEDOUT,
				       "rank %u on %s has not answered for "
				       "%.3g s; %u of %u pairs were measured",
				       rank, root->ranks[rank].host,
				       (double)wait_ns / 1e9, root->n_done,
				       root->n_wanted);
	}
	error = json_string_value(json_object_get(message, "error"));
	if (error) {
		snprintf(why, cap_bytes, "%s", error);
		json_decref(message);
		return TCPX_EREMOTE;
	}
	*reply = message;
	return 0;
}

/* ---- joining -------------------------------------------------------------- */

static void take_text(char *to, size_t cap_bytes, const json_t *object,
		      const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(to, cap_bytes, "%s", text ? text : "");
}

static int check_join(struct mesh_root *root, const json_t *message,
		      uint32_t *rank)
{
	json_int_t number = -1, ranks = -1, protocol = -1;
	const char *host = "?", *error;

	json_unpack((json_t *)message, "{sI sI sI ss}", "rank", &number,
		    "ranks", &ranks, "protocol", &protocol, "host", &host);
	error = json_string_value(json_object_get(message, "error"));
	if (protocol != MESH_PROTOCOL)
		return give_up(root, TCPX_EVERSION,
			       "on %s is another version of tcpx", host);
	if (ranks != root->self->ranks)
		return give_up(root, TCPX_EINVAL,
			       "rank %lld on %s counts %lld rank%s, rank 0 %u",
			       (long long)number, host, (long long)ranks,
			       ranks == 1 ? "" : "s", root->self->ranks);
	if (number < 0 || number >= ranks)
		return give_up(root, TCPX_EINVAL, "%s says it is rank %lld",
			       host, (long long)number);
	if (root->ranks[number].peer)
		return give_up(root, TCPX_EINVAL,
			       "two processes are rank %lld: on %s and on %s",
			       (long long)number, root->ranks[number].host,
			       host);
	if (error)
		return give_up(root, TCPX_EREMOTE,
			       "rank %lld on %s cannot begin: %s",
			       (long long)number, host, error);
	*rank = (uint32_t)number;
	return 0;
}

/* Places as they come; put in order when all are there. */
static int take_places(struct mesh_root *root, uint32_t rank,
		       const json_t *places)
{
	size_t n = json_array_size(places), i;
	struct mesh_device *all = realloc(
		root->devices, (root->n_devices + n) * sizeof(*root->devices));
	const json_t *one;

	if (!n || !all)
		return give_up(root, TCPX_EINVAL, "rank %u has no memory",
			       rank);
	root->devices = all;
	json_array_foreach(places, i, one)
	{
		struct mesh_device *device = &all[root->n_devices++];
		char mem[PLACE_TEXT_MAX];

		*device = (struct mesh_device){.rank = rank,
					       .place = (uint32_t)i};
		take_text(mem, sizeof(mem), one, "mem");
		take_text(device->gpu, sizeof(device->gpu), one, "gpu");
		take_text(device->pci, sizeof(device->pci), one, "pci");
		if (place_parse(mem, &device->mem))
			return give_up(root, TCPX_EINVAL,
				       "rank %u has memory \"%s\"", rank, mem);
	}
	return 0;
}

static int take_join(struct mesh_root *root, const json_t *message,
		     uint64_t peer)
{
	struct mesh_rank *rank;
	uint32_t number = 0;
	int status = check_join(root, message, &number);

	if (status)
		return status;
	rank = &root->ranks[number];
	rank->peer = peer;
	rank->blob = json_incref(json_object_get(message, "blob"));
	take_text(rank->host, sizeof(rank->host), message, "host");
	take_text(rank->name, sizeof(rank->name), message, "name");
	root->n_here++;
	return take_places(root, number, json_object_get(message, "places"));
}

static int say_missing(struct mesh_root *root)
{
	char list[256] = "";
	uint32_t n_missing = root->self->ranks - root->n_here, n = 0;
	char refused[320];
	size_t used = 0;

	for (uint32_t i = 0; i < root->self->ranks && n < 16; i++)
		if (!root->ranks[i].peer)
			used += (size_t)snprintf(list + used,
						 sizeof(list) - used, "%s%u",
						 n++ ? ", " : "", i);
	return give_up(root, TCPX_ETIMEDOUT,
		       "rank%s %s%s of %u did not come within %.3g s; they "
		       "connect to %s, port %u, with the same TCPX_SECRET; %s",
		       n_missing > 1 ? "s" : "", list,
		       n_missing > n ? " and more" : "", root->self->ranks,
		       (double)root->options->join_ns / 1e9,
		       root->self->root_host, root->self->root_port,
		       mesh_refused_text(root->sent_away, refused,
					 sizeof(refused)));
}

static int wait_for_all(struct mesh_root *root)
{
	uint64_t deadline_ns = now_ns() + root->options->join_ns, from;
	json_t *message;
	int status = 0;

	while (!status && root->n_here < root->self->ranks) {
		progress("%u of %u ranks are here", root->n_here,
			 root->self->ranks);
		status = message_wait(root->session, 0, LOOK_EVERY_MS, &message,
				      &from);
		if (!status) {
			status = take_join(root, message, from);
			if (status)
				root->refused = from;
			json_decref(message);
		} else {
			status = look_for_losses(root);
		}
		if (!status && root->n_here < root->self->ranks &&
		    now_ns() > deadline_ns)
			status = say_missing(root);
	}
	progress_clear();
	return status;
}

/* ---- planning -------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
	const struct mesh_device *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static bool several_hosts(const struct mesh_root *root)
{
	for (uint32_t i = 1; i < root->self->ranks; i++)
		if (strcmp(root->ranks[i].host, root->ranks[0].host))
			return true;
	return false;
}

/* Pairs of two processes; of two hosts, where there are several. */
static int plan(struct mesh_root *root)
{
	uint32_t n = root->n_devices;
	bool across = several_hosts(root) && !root->options->all;

	qsort(root->devices, n, sizeof(*root->devices), by_rank);
	root->pairs = calloc((size_t)n * n, sizeof(*root->pairs));
	if (!root->pairs)
		return give_up(root, TCPX_ENOMEM, "no memory for %u pairs",
			       n * n);
	for (uint32_t i = 0; i < n * n; i++) {
		uint32_t a = root->devices[i / n].rank;
		uint32_t b = root->devices[i % n].rank;

		root->pairs[i].wanted =
			a != b && !(across && !strcmp(root->ranks[a].host,
						      root->ranks[b].host));
		root->n_wanted += root->pairs[i].wanted;
	}
	if (!root->n_wanted)
		return give_up(root, TCPX_EINVAL,
			       "one process alone has no pairs");
	return 0;
}

static int measure_all(struct mesh_root *root)
{
	uint32_t n = root->n_devices;

	for (uint32_t i = 0; i < n * n; i++) {
		if (!root->pairs[i].wanted)
			continue;
		progress("pair %u of %u: from %u to %u", root->n_done + 1,
			 root->n_wanted, i / n, i % n);
		if (!mesh_measure(root, i / n, i % n))
			return TCPX_EPEER;
		root->n_done++;
	}
	return 0;
}

/* ---- the end --------------------------------------------------------------- */

static bool all_held(const struct mesh_root *root)
{
	if (root->failure[0])
		return false;
	for (uint32_t i = 0; i < root->n_devices * root->n_devices; i++)
		if (root->pairs[i].wanted &&
		    (!root->pairs[i].done || root->pairs[i].failure[0]))
			return false;
	return true;
}

static uint32_t send_last(struct mesh_root *root, uint64_t peer, bool held)
{
	json_t *last;

	if (!peer)
		return 0;
	last = root->failure[0] ?
		       json_pack("{ss ss sb}", "do", "abort", "why",
				 root->failure, "began", root->began) :
		       json_pack("{ss sb}", "do", "bye", "held", held);
	return !message_send(root->session, peer, last);
}

/* So that they need not find out by themselves. */
static void dismiss(struct mesh_root *root, bool held)
{
	uint64_t deadline_ns = now_ns() + BYE_WAIT_NS, from;
	uint32_t n_left = send_last(root, root->refused, held);
	json_t *message;

	for (uint32_t i = 0; i < root->self->ranks; i++)
		n_left += send_last(root, root->ranks[i].peer, held);
	/* Answers to what was asked before may come first: by time, too. */
	while (n_left && now_ns() < deadline_ns) {
		if (message_wait(root->session, 0, LOOK_EVERY_MS, &message,
				 &from))
			continue;
		n_left -= !json_object_size(message);
		json_decref(message);
	}
}

bool mesh_root_run(struct mesh_root *root)
{
	bool held;
	int status;

	root->ranks = calloc(root->self->ranks, sizeof(*root->ranks));
	if (!root->ranks) {
		give_up(root, TCPX_ENOMEM, "no memory for %u ranks",
			root->self->ranks);
		return false;
	}
	status = wait_for_all(root);
	if (!status)
		status = plan(root);
	root->began = !status;
	if (!status)
		(void)!measure_all(root);
	progress_clear();
	held = root->began && all_held(root);
	dismiss(root, held);
	return held;
}

void mesh_root_fini(struct mesh_root *root)
{
	for (uint32_t i = 0; root->ranks && i < root->self->ranks; i++)
		json_decref(root->ranks[i].blob);
	free(root->ranks);
	free(root->devices);
	free(root->pairs);
}
