/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#define HAVE(slot) CHECK(s.ops->slot)

void table_is_whole(void)
{
	struct subject s;

	subject_open(&s, CHUNK_BYTES);
	CHECK(s.ops->name && transport_find(s.ops->name) == s.ops);
	HAVE(probe);
	HAVE(open);
	HAVE(close);
	HAVE(limits);
	HAVE(channel_close);
	HAVE(post_recv);
	HAVE(consume);
	HAVE(post_send);
	HAVE(abandon);
	HAVE(poll);
	CHECK_EQ(!s.ops->listen, !s.ops->accept);
	CHECK_EQ(!s.ops->listen, !s.ops->connect);
	CHECK_EQ(!s.ops->listen, !s.ops->listener_close);
	CHECK_EQ(!s.ops->slot_get, !s.ops->slot_put);
	CHECK(s.caps & (TRANSPORT_ADOPTS | TRANSPORT_LISTENS));
	CHECK(s.caps & (TRANSPORT_IN_PLACE | TRANSPORT_FRAGMENTS));
	CHECK_EQ(!(s.caps & TRANSPORT_IN_PLACE), !s.ops->bind);
	CHECK(!subject_can(&s, TRANSPORT_SLOTS_ONLY) ||
	      subject_can(&s, TRANSPORT_SLOTS));
	CHECK(transport_find("no such transport") == NULL);
	subject_close(&s);
}

void limits_are_sane(void)
{
	const uint32_t wanted[] = {4096, CHUNK_BYTES, 1u << 20};
	struct subject s;

	for (int i = 0; i < 3; i++) {
		subject_open(&s, wanted[i]);
		CHECK(s.limits.window > 0);
		CHECK(s.limits.sends_max > 0);
		CHECK(s.limits.spans_max > 0);
		CHECK(s.limits.chunk_bytes > 0);
		CHECK(s.limits.chunk_bytes <= wanted[i]);
		CHECK(s.limits.slot_bytes <= s.limits.chunk_bytes);
		if (s.caps & (TRANSPORT_FRAGMENTS | TRANSPORT_SLOTS))
			CHECK(s.limits.slot_bytes > 0);
		subject_close(&s);
	}
}

/* Short, for the table. */
#define INLINE TRANSPORT_DESC_INLINE
#define IN_PLACE TRANSPORT_IN_PLACE
#define FRAGMENTS TRANSPORT_FRAGMENTS
#define ADOPTS TRANSPORT_ADOPTS
#define LISTENS TRANSPORT_LISTENS
#define SLOTS TRANSPORT_SLOTS
#define WAITABLE TRANSPORT_WAITABLE

/* A case is for transports that have all caps of `with` and none of
 * `without`. */
static const struct {
	struct check_case run;
	uint32_t with, without;
} cases[] = {
	{{"table_is_whole", table_is_whole, 0}, 0, 0},
	{{"limits_are_sane", limits_are_sane, 0}, 0, 0},
	{{"one_byte", one_byte, 0}, 0, 0},
	{{"order_is_kept", order_is_kept, 0}, 0, 0},
	{{"sizes", sizes, 0}, 0, 0},
	{{"many_spans", many_spans, 0}, 0, 0},
	{{"window_is_a_bound", window_is_a_bound, 0}, 0, 0},
	{{"sends_are_bounded", sends_are_bounded, 0}, 0, 0},
	{{"send_refuses", send_refuses, 0}, 0, 0},
	{{"sender_outruns", sender_outruns, 0}, 0, INLINE},
	{{"nothing_without_poll", nothing_without_poll, 0}, 0, 0},
	{{"bind_comes_first", bind_comes_first, 0}, IN_PLACE, 0},
	{{"bind_refuses", bind_refuses, 0}, IN_PLACE, 0},
	{{"own_memory", own_memory, 0}, FRAGMENTS, 0},
	{{"consume_in_order", consume_in_order, 0}, 0, 0},
	{{"fragments_stay", fragments_stay, 0}, FRAGMENTS, 0},
	{{"lent_is_confirmed", lent_is_confirmed, 0}, FRAGMENTS, 0},
	{{"slots_are_bounded", slots_are_bounded, 0}, SLOTS, 0},
	{{"pool_runs_dry", pool_runs_dry, 60}, 0, 0},
	{{"wait_fd_tells", wait_fd_tells, 0}, WAITABLE | INLINE, 0},
	{{"wait_fd_wakes", wait_fd_wakes, 0}, WAITABLE, 0},
	{{"counters_count", counters_count, 0}, 0, 0},
	{{"abandon_send_unsent", abandon_send_unsent, 0}, 0, 0},
	{{"abandon_send_anywhere", abandon_send_anywhere, 60}, 0, 0},
	{{"abandon_recv_bound", abandon_recv_bound, 0}, IN_PLACE, 0},
	{{"abandon_recv_anywhere", abandon_recv_anywhere, 60}, 0, 0},
	{{"abandon_nothing", abandon_nothing, 0}, 0, 0},
	{{"close_sender_anywhere", close_sender_anywhere, 60}, 0, 0},
	{{"close_receiver_anywhere", close_receiver_anywhere, 60}, 0, 0},
	{{"failure_is_told_once", failure_is_told_once, 0}, 0, 0},
	{{"lengths_differ", lengths_differ, 0}, IN_PLACE, INLINE},
	{{"both_directions_die", both_directions_die, 0}, ADOPTS, 0},
	{{"connect_to_nobody", connect_to_nobody, 0}, LISTENS, 0},
	{{"connect_twice", connect_twice, 0}, LISTENS, 0},
	{{"listener_closes", listener_closes, 0}, LISTENS, 0},
	{{"half_made_closes", half_made_closes, 0}, LISTENS, 0},
	{{"junk_header", junk_header, 0}, ADOPTS | INLINE, 0},
	{{"wrong_sequence", wrong_sequence, 0}, ADOPTS | INLINE, 0},
	{{"too_long", too_long, 0}, ADOPTS | INLINE, 0},
	{{"beyond_receives", beyond_receives, 0}, ADOPTS | INLINE, 0},
	{{"cut_off", cut_off, 0}, ADOPTS | INLINE, 0},
	{{"byte_by_byte", byte_by_byte, 0}, ADOPTS | INLINE, 0},
	{{"random_walk", random_walk, 60}, 0, 0},
	{{"two_threads_a_lane", two_threads_a_lane, 60}, 0, 0},
	{{"two_lanes_two_threads", two_lanes_two_threads, 60}, 0, 0},
};

#define N_CASES (sizeof(cases) / sizeof(*cases))

int main(int argc, char **argv)
{
	struct check_case chosen[N_CASES];
	struct subject s;
	size_t n = 0;

	subject_find(&s);
	for (size_t i = 0; i < N_CASES; i++)
		if (subject_can(&s, cases[i].with) &&
		    !(s.caps & cases[i].without))
			chosen[n++] = cases[i].run;
	return check_run(chosen, n, argc, argv);
}
