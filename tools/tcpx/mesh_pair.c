/* SPDX-License-Identifier: Apache-2.0 */
/* One pair, measured by three requests. */
#include "mesh.h"

#include "clock.h"

#include <stdio.h>
#include <string.h>

#define QUICK_WAIT_NS (60 * NS_PER_S)

struct work {
	struct mesh_root *root;
	struct mesh_pair *pair;
	const struct mesh_device *client, *server;
	struct case_params params;
};

/* A READ is initiated where the bytes go to. */
static void set_up(struct work *work, struct mesh_root *root, uint32_t from,
		   uint32_t to)
{
	bool read = root->options->params.op == CASE_READ;

	work->root = root;
	work->pair = mesh_pair(root, from, to);
	work->client = &root->devices[read ? to : from];
	work->server = &root->devices[read ? from : to];
	work->params = root->options->params;
	work->params.mem = work->client->mem;
	work->params.peer_mem = work->server->mem;
	work->params.seed += (uint64_t)from * root->n_devices + to;
}

static json_t *request(const struct work *work, const char *what,
		       const struct mesh_device *whom,
		       const struct mesh_device *other)
{
	return json_pack("{ss si si so}", "do", what, "rank", (int)other->rank,
			 "place", (int)whom->place, "case",
			 case_params_encode(&work->params));
}

/* 0; TCPX_EREMOTE: the pair has failed; otherwise all has. */
static int ask(struct work *work, const struct mesh_device *whom,
	       json_t *message, uint64_t wait_ns, json_t **reply)
{
	char why[256];
	int status = mesh_ask(work->root, whom->rank, message, wait_ns, reply,
			      why, sizeof(why));

	if (status == TCPX_EREMOTE && !work->pair->failure[0])
		snprintf(work->pair->failure, sizeof(work->pair->failure), "%s",
			 why);
	return status;
}

static void note_wrong(struct work *work, const json_t *reply)
{
	const char *why = json_string_value(json_object_get(reply, "why"));

	if (json_is_true(json_object_get(reply, "ok")))
		return;
	work->pair->verified = false;
	if (!work->pair->failure[0])
		snprintf(work->pair->failure, sizeof(work->pair->failure), "%s",
			 why ? why : "wrong bytes");
}

static void take_result(struct work *work, const json_t *reply)
{
	struct mesh_pair *pair = work->pair;
	const char *transport = "?";
	int rails = 0, flows = 0;

	json_unpack((json_t *)reply, "{sF sF sF ss si si}", "gigabytes_per_s",
		    &pair->gigabytes_per_s, "p50_us", &pair->p50_us, "p99_us",
		    &pair->p99_us, "transport", &transport, "rails", &rails,
		    "flows", &flows);
	snprintf(pair->transport, sizeof(pair->transport), "%s", transport);
	pair->n_rails = (unsigned)rails;
	pair->n_flows = (unsigned)flows;
	pair->verified = work->root->options->verify;
	pair->done = true;
	note_wrong(work, reply);
}

static int run(struct work *work, json_t *prepared)
{
	struct mesh_root *root = work->root;
	json_t *message = request(work, "run", work->client, work->server);
	json_t *reply = NULL;
	int status;

	json_object_set(message, "mem", json_object_get(prepared, "mem"));
	json_object_set(message, "blob", root->ranks[work->server->rank].blob);
	status = ask(work, work->client, message, root->options->pair_ns,
		     &reply);
	if (!status)
		take_result(work, reply);
	json_decref(reply);
	return status;
}

/* Also after a failure: memory is given back. */
static int finish(struct work *work)
{
	bool check = work->pair->done && work->root->options->verify &&
		     work->params.op != CASE_READ;
	json_t *reply = NULL;
	int status = ask(work, work->server,
			 json_pack("{ss sb}", "do", "finish", "check", check),
			 QUICK_WAIT_NS, &reply);

	if (!status)
		note_wrong(work, reply);
	json_decref(reply);
	return status;
}

bool mesh_measure(struct mesh_root *root, uint32_t from, uint32_t to)
{
	json_t *prepared = NULL;
	struct work work;
	int status;

	set_up(&work, root, from, to);
	status = ask(&work, work.server,
		     request(&work, "prepare", work.server, work.client),
		     QUICK_WAIT_NS, &prepared);
	if (!status)
		status = run(&work, prepared);
	json_decref(prepared);
	if (!status || status == TCPX_EREMOTE)
		status = finish(&work);
	return !status || status == TCPX_EREMOTE;
}
