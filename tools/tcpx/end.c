/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and transfers of one end; running them is in run.c and pingpong.c. */
#include "end.h"

#include "message.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEM_BLOB_MAX 1024
#define OUTSTANDING_MAX 4096u

static const char *const op_names[] = {
	[CASE_WRITE] = "write",
	[CASE_READ] = "read",
	[CASE_SEND] = "send",
	[CASE_NOTIFY] = "notify",
};

const char *case_op_name(enum case_op op)
{
	return op_names[op];
}

int case_op_parse(const char *text, enum case_op *op)
{
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(op_names[i], text))
			continue;
		*op = (enum case_op)i;
		return 0;
	}
	return -1;
}

json_t *case_params_encode(const struct case_params *p)
{
	char mem[PLACE_TEXT_MAX], peer_mem[PLACE_TEXT_MAX];

	return json_pack("{ss ss sI sI sI sb ss sI ss ss}", "do", "case", "op",
			 case_op_name(p->op), "piece_bytes",
			 (json_int_t)p->piece_bytes, "pieces",
			 (json_int_t)p->n_pieces, "outstanding",
			 (json_int_t)p->n_outstanding, "both_directions",
			 p->both_directions, "wait", wait_style_name(p->wait),
			 "seed", (json_int_t)p->seed, "mem",
			 place_format(&p->mem, mem), "peer_mem",
			 place_format(&p->peer_mem, peer_mem));
}

int case_params_decode(const json_t *json, struct case_params *p)
{
	json_int_t piece_bytes, pieces, outstanding, seed;
	const char *op, *wait, *mem, *peer_mem;
	int both;

	if (json_unpack((json_t *)json, "{ss sI sI sI sb ss sI ss ss}", "op",
			&op, "piece_bytes", &piece_bytes, "pieces", &pieces,
			"outstanding", &outstanding, "both_directions", &both,
			"wait", &wait, "seed", &seed, "mem", &mem, "peer_mem",
			&peer_mem) ||
	    place_parse(mem, &p->mem) || place_parse(peer_mem, &p->peer_mem) ||
	    case_op_parse(op, &p->op) || wait_style_parse(wait, &p->wait) ||
	    piece_bytes <= 0 || pieces <= 0 || pieces > TCPX_SEGMENTS_MAX ||
	    outstanding <= 0 || outstanding > OUTSTANDING_MAX)
		return TCPX_EINVAL;
	p->piece_bytes = (uint64_t)piece_bytes;
	p->n_pieces = (uint32_t)pieces;
	p->n_outstanding = (uint32_t)outstanding;
	p->both_directions = both;
	p->seed = (uint64_t)seed;
	return 0;
}

static int fail(struct end *end, int status, const char *what)
{
	snprintf(end->failure, sizeof(end->failure), "%s: %s", what,
		 tcpx_strerror(status));
	return status;
}

static bool is_source(const struct end *end)
{
	return end->params.both_directions ||
	       end->client == (end->params.op != CASE_READ);
}

static bool is_sink(const struct end *end)
{
	return end->params.both_directions ||
	       end->client == (end->params.op == CASE_READ);
}

static int take_memory(struct end *end, uint32_t access, struct area *area,
		       uint64_t *mem)
{
	const struct place *place = end->client ? &end->params.mem :
						  &end->params.peer_mem;
	uint64_t len = end->layout.area_bytes;
	int status = area_take(area, end->session, place, len, end->failure,
			       sizeof(end->failure));

	if (status)
		return status;
	status = tcpx_mem_register(end->session, area->mem, len, access, mem);
	return status ? fail(end, status, "registering memory") : 0;
}

int end_init(struct end *end, struct tcpx_session *session, uint64_t peer,
	     bool client, const struct case_params *params)
{
	int status = 0;

	memset(end, 0, sizeof(*end));
	end->session = session;
	end->peer = peer;
	end->client = client;
	end->params = *params;
	if (params->op == CASE_NOTIFY) {
		end->params.both_directions = true;
		end->params.n_outstanding = PINGPONG_BLOCKS;
		end->params.n_pieces = 1;
	}
	if (layout_init(&end->layout, params->seed, params->piece_bytes,
			end->params.n_pieces, end->params.n_outstanding))
		return fail(end, TCPX_ENOMEM, "laying out the pieces");
	if (is_source(end))
		status = take_memory(end, TCPX_ACCESS_REMOTE_READ, &end->source,
				     &end->source_mem);
	if (!status && is_sink(end))
		status = take_memory(end, TCPX_ACCESS_REMOTE_WRITE, &end->sink,
				     &end->sink_mem);
	return status;
}

json_t *end_mem(struct end *end)
{
	unsigned char blob[MEM_BLOB_MAX];
	uint64_t mems[2];
	size_t n = 0, len;

	if (end->source_mem)
		mems[n++] = end->source_mem;
	if (end->sink_mem)
		mems[n++] = end->sink_mem;
	if (tcpx_mem_blob(end->session, mems, n, blob, sizeof(blob), &len))
		return NULL;
	return json_hex(blob, len);
}

static int load_remote(struct end *end, const json_t *text)
{
	unsigned char blob[MEM_BLOB_MAX];
	uint64_t mems[2];
	size_t len, n = 0;
	int status = json_unhex(text, blob, sizeof(blob), &len);

	if (!status)
		status = tcpx_mem_load(end->session, blob, len, mems, 2, &n);
	if (status)
		return fail(end, status, "the other end's memory blob");
	/* It is a source where we are a sink, and the other way round. */
	if (n != (size_t)(is_sink(end) + is_source(end)))
		return fail(end, TCPX_EINVAL, "the other end's memory blob");
	if (is_sink(end))
		end->remote_source = mems[0];
	if (is_source(end))
		end->remote_sink = mems[n - 1];
	return 0;
}

/* Where piece i of a block is for this end, as initiator or receiver. */
static struct tcpx_segment segment(const struct end *end, bool receives,
				   uint32_t block, uint32_t i)
{
	uint64_t from = layout_source_off(&end->layout, block, i);
	uint64_t to = layout_sink_off(&end->layout, block, i);
	bool inward = receives || end->params.op == CASE_READ;

	return (struct tcpx_segment){
		.local_mem = inward ? end->sink_mem : end->source_mem,
		.local_off = inward ? to : from,
		.remote_mem = inward ? end->remote_source : end->remote_sink,
		.remote_off = inward ? from : to,
		.len_bytes = end->params.piece_bytes,
	};
}

static enum tcpx_op op_of(const struct end *end, bool receives)
{
	switch (end->params.op) {
	case CASE_READ:
		return TCPX_OP_READ;
	case CASE_SEND:
		return receives ? TCPX_OP_RECV : TCPX_OP_SEND;
	default:
		return TCPX_OP_WRITE;
	}
}

/* segments: room for one block's, to be overwritten. */
static int prepare_slot(struct end *end, struct slot *slot, uint32_t block,
			struct tcpx_segment *segments)
{
	struct tcpx_xfer_params params = {
		.size_bytes = sizeof(params),
		.peer = end->peer,
		.op = op_of(end, slot->receives),
		.segments = segments,
		.n_segments = end->params.n_pieces,
		.tag = block,
	};
	int status;

	for (uint32_t i = 0; i < end->params.n_pieces; i++)
		segments[i] = segment(end, slot->receives, block, i);
	status = tcpx_xfer_prepare(end->session, &params, &slot->xfer);
	return status ? fail(end, status, "preparing a transfer") : 0;
}

static void count_slots(struct end *end)
{
	bool both = end->params.both_directions;

	if (end->client || both)
		end->n_initiators = end->params.n_outstanding;
	if (end->params.op == CASE_SEND && (!end->client || both))
		end->n_receivers = end->params.n_outstanding;
}

int end_prepare(struct end *end, const json_t *mem)
{
	struct tcpx_segment *segments;
	int status = load_remote(end, mem);
	uint32_t n;

	if (status)
		return status;
	count_slots(end);
	n = end->n_initiators + end->n_receivers;
	end->slots = calloc(n + 1, sizeof(*end->slots));
	segments = calloc(end->params.n_pieces, sizeof(*segments));
	if (!end->slots || !segments)
		status = fail(end, TCPX_ENOMEM, "segments");
	for (uint32_t i = 0; i < n && !status; i++) {
		end->slots[i].receives = i >= end->n_initiators;
		status = prepare_slot(end, &end->slots[i],
				      i % end->params.n_outstanding, segments);
	}
	free(segments);
	return status;
}

void end_fini(struct end *end)
{
	uint32_t n = end->n_initiators + end->n_receivers;

	for (uint32_t i = 0; end->slots && i < n; i++)
		if (end->slots[i].xfer)
			tcpx_xfer_release(end->session, end->slots[i].xfer);
	free(end->slots);
	if (end->remote_source)
		tcpx_mem_unload(end->session, end->remote_source);
	if (end->remote_sink)
		tcpx_mem_unload(end->session, end->remote_sink);
	/* Deregistration is the fence: nobody touches the areas after it. */
	if (end->source_mem)
		tcpx_mem_deregister(end->session, end->source_mem);
	if (end->sink_mem)
		tcpx_mem_deregister(end->session, end->sink_mem);
	area_give(&end->source);
	area_give(&end->sink);
	layout_fini(&end->layout);
	memset(end, 0, sizeof(*end));
}

int end_fill(struct end *end, uint32_t round)
{
	int status;

	if (end->source.host)
		layout_fill(&end->layout, round, end->source.host);
	if (end->sink.host)
		layout_wipe(&end->layout, round, end->sink.host);
	status = area_push(&end->source);
	if (!status)
		status = area_push(&end->sink);
	return status ? fail(end, status, "copying contents to the GPU") : 0;
}

bool end_check(struct end *end, uint32_t round, char *why, size_t cap_bytes)
{
	uint64_t bad_off;
	int status = area_pull(&end->sink);

	if (status) {
		snprintf(why, cap_bytes, "copying contents from the GPU: %s",
			 tcpx_strerror(status));
		return false;
	}
	if (!end->sink.host ||
	    layout_check(&end->layout, round, end->sink.host, &bad_off))
		return true;
	snprintf(why, cap_bytes,
		 "seed %llu round %u: wrong bytes at offset %llu of %llu",
		 (unsigned long long)end->params.seed, round,
		 (unsigned long long)bad_off,
		 (unsigned long long)end->layout.area_bytes);
	return false;
}
