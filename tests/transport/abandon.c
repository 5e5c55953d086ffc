/* SPDX-License-Identifier: Apache-2.0 */

/* After abandon() the memory behind a chunk is gone (PROT_NONE, its array of
 * spans too): a touch is a crash. The chunk travels on. */

#include "contract.h"

void abandon_send_unsent(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 512u << 10);
	lane_open(&lane, &s, 40, s.limits.chunk_bytes);
	while (!lane_recv(&lane))
		;
	/* Nobody reads, so most of it is still here. */
	while (!lane_send(&lane))
		;
	for (uint64_t k = lane.posted; k-- > 0;)
		lane_abandon_tx(&lane, k);
	for (uint64_t k = 0; k < lane.posted; k++)
		lane_abandon_tx(&lane, k); /* twice is once */
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

/* Chunks of all sizes, abandoned after any number of visits. */
void abandon_send_anywhere(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 512u << 10);
	for (int round = 0; round < 30; round++) {
		uint64_t rand = check_seed() + round;

		lane_open(&lane, &s, 20, s.limits.chunk_bytes);
		lane.spans_max = s.limits.spans_max < 100 ? s.limits.spans_max :
							    100;
		while (!lane_done_tx(&lane) || !lane_done_rx(&lane)) {
			if (check_rand(&rand) % 2)
				lane_run_rx(&lane);
			if (check_rand(&rand) % 2)
				lane_run_tx(&lane);
			if (check_rand(&rand) % 4 == 0)
				lane_abandon_tx(&lane,
						lane.sent +
							check_rand(&rand) % 3);
		}
		CHECK_STATUS(lane.tx.failed, TCPX_OK);
		CHECK_STATUS(lane.rx.failed, TCPX_OK);
		lane_close(&lane);
	}
	subject_close(&s);
}

void abandon_recv_bound(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 512u << 10);
	lane_open(&lane, &s, 12, s.limits.chunk_bytes);
	while (!lane_recv(&lane))
		;
	for (uint64_t k = 0; k < lane.n_chunks; k++) {
		lane_abandon_rx(&lane, k); /* not bound: nothing behind it */
		while (lane_bind(&lane)) {
			lane_run_tx(&lane);
			lane_poll_rx(&lane);
		}
		if (k % 2)
			lane_abandon_rx(&lane, k);
	}
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void abandon_recv_anywhere(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 512u << 10);
	for (int round = 0; round < 30; round++) {
		uint64_t rand = check_seed() + round;

		lane_open(&lane, &s, 20, s.limits.chunk_bytes);
		lane.spans_max = s.limits.spans_max < 100 ? s.limits.spans_max :
							    100;
		while (!lane_done_tx(&lane) || !lane_done_rx(&lane)) {
			if (check_rand(&rand) % 2)
				lane_run_tx(&lane);
			if (check_rand(&rand) % 2)
				lane_run_rx(&lane);
			if (check_rand(&rand) % 4 == 0)
				lane_abandon_rx(&lane,
						lane.arrived +
							check_rand(&rand) % 3);
		}
		CHECK_STATUS(lane.tx.failed, TCPX_OK);
		CHECK_STATUS(lane.rx.failed, TCPX_OK);
		lane_close(&lane);
	}
	subject_close(&s);
}

void abandon_nothing(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 10, 3000);
	CHECK(!s.ops->abandon(lane.tx.channel, 77));
	CHECK(!s.ops->abandon(lane.rx.channel, 77));
	lane_run_rx(&lane);
	lane_run_tx(&lane);
	s.ops->abandon(lane.tx.channel, 77);
	s.ops->abandon(lane.rx.channel, 77);
	lane_finish(&lane);
	/* Of chunks that are over. */
	for (uint64_t k = 0; k < 10; k++) {
		CHECK(!s.ops->abandon(lane.tx.channel, TX_COOKIE(k)));
		CHECK(!s.ops->abandon(lane.rx.channel, RX_COOKIE(k)));
	}
	lane_close(&lane);
	subject_close(&s);
}
