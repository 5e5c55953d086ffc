/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e/duo.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

void duo_open(struct duo *duo, const struct duo_params *params)
{
	memset(duo, 0, sizeof(*duo));
	duo->cap_bytes = params->cap_bytes;
	duo->timeout_ms = params->timeout_ms;
	sess_open(&duo->sess, "tester", params->tweak);
	remote_start(&duo->remote, "peerd", params->netns, params->env);
	remote_join(&duo->remote, &duo->sess);
	region_init(&duo->here, duo->cap_bytes, SEED_HERE);
	duo->mem = sess_register(&duo->sess, &duo->here, RW);
	duo->handle = remote_mem(&duo->remote, &duo->sess, duo->cap_bytes,
				 SEED_THERE, RW, &duo->index);
	duo->ours_there = remote_load(&duo->remote, &duo->sess, duo->mem);
}

void duo_close(struct duo *duo)
{
	remote_end(&duo->remote);
	sess_close(&duo->sess);
	region_fini(&duo->here);
}

/* As peerd's: for thread checkers, which do not see what the pipe orders. */
static void fence(struct duo *duo)
{
	size_t len;

	CHECK_STATUS(tcpx_peer_describe(duo->sess.s, duo->remote.peer, NULL, 0,
					&len),
		     TCPX_ENOSPC);
}

void duo_reset(struct duo *duo)
{
	fence(duo);
	pattern_fill(duo->here.data, duo->cap_bytes, SEED_HERE, 0);
	memcpy(duo->here.want, duo->here.data, duo->cap_bytes);
	fence(duo);
	remote_must(&duo->remote, "fill %u %d", duo->index, SEED_THERE);
}

void duo_check(struct duo *duo)
{
	fence(duo);
	CHECK(region_check(&duo->here, "here"));
	remote_must(&duo->remote, "check %u", duo->index);
}

void duo_same(struct duo *duo)
{
	unsigned long long hash = XXH3_64bits(duo->here.data, duo->cap_bytes);
	char text[32];

	snprintf(text, sizeof(text), "%016llx", hash);
	CHECK_STR(remote_must(&duo->remote, "hash %u", duo->index), text);
}

static void want_there(struct duo *duo, uint64_t list_seed, size_t n,
		       uint64_t max_bytes, char side)
{
	remote_must(&duo->remote, "want %u %llu %zu %llu %zu %d %c", duo->index,
		    (unsigned long long)list_seed, n,
		    (unsigned long long)max_bytes, duo->cap_bytes, SEED_HERE,
		    side);
}

void duo_list(struct duo *duo, enum tcpx_op op, uint64_t list_seed, size_t n,
	      uint64_t max_bytes)
{
	struct tcpx_session *s = duo->sess.s;
	struct layout layout;
	uint64_t xfer;

	duo_reset(duo);
	layout_init(&layout, list_seed, n, max_bytes, duo->cap_bytes);
	xfer = xfer_layout(&duo->sess, duo->remote.peer, op, &layout, duo->mem,
			   duo->handle);
	CHECK_STATUS(tcpx_xfer_post(s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(s, xfer, duo->timeout_ms), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(s, xfer), TCPX_OK);
	if (op == TCPX_OP_READ)
		layout_want(&layout, &duo->here, SEED_THERE, false);
	else
		want_there(duo, list_seed, n, max_bytes, 'b');
	duo_check(duo);
	layout_fini(&layout);
}

void duo_list_back(struct duo *duo, enum tcpx_op op, uint64_t list_seed,
		   size_t n, uint64_t max_bytes)
{
	struct layout layout;

	duo_reset(duo);
	remote_must(&duo->remote, "run %s %llu %u %llu %llu %zu %llu %d",
		    op == TCPX_OP_READ ? "read" : "write",
		    (unsigned long long)duo->remote.back, duo->index,
		    (unsigned long long)duo->ours_there,
		    (unsigned long long)list_seed, n,
		    (unsigned long long)max_bytes, duo->timeout_ms);
	layout_init(&layout, list_seed, n, max_bytes, duo->cap_bytes);
	if (op == TCPX_OP_WRITE)
		layout_want(&layout, &duo->here, SEED_THERE, true);
	else
		want_there(duo, list_seed, n, max_bytes, 'a');
	duo_check(duo);
	layout_fini(&layout);
}

void duo_play(struct duo *duo)
{
	static const enum tcpx_op ops[] = {TCPX_OP_WRITE, TCPX_OP_READ};
	uint64_t seed = check_seed();

	for (int i = 0; i < 2; i++) {
		duo_list(duo, ops[i], check_rand(&seed), 1, duo->cap_bytes);
		duo_list(duo, ops[i], check_rand(&seed), 3000,
			 duo->cap_bytes / 3000);
		duo_list(duo, ops[i], check_rand(&seed), 5, 300);
		duo_list_back(duo, ops[i], check_rand(&seed), 2,
			      duo->cap_bytes / 2);
		duo_list_back(duo, ops[i], check_rand(&seed), 1000, 600);
	}
}
