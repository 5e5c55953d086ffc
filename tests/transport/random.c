/* SPDX-License-Identifier: Apache-2.0 */

/* Everything at once, in an order that only the seed knows. */

#include <pthread.h>
#include <stdatomic.h>

#include "contract.h"

static void random_tx(struct lane *lane, uint64_t dice)
{
	if (dice % 3 == 0)
		(void)lane_send(lane);
	else if (dice % 29 == 1)
		lane_abandon_tx(lane, lane->sent + dice / 29 % 4);
	else
		lane_poll_tx(lane);
}

static void random_rx(struct lane *lane, uint64_t dice)
{
	if (dice % 4 == 0)
		(void)lane_recv(lane);
	else if (dice % 4 == 1)
		(void)lane_bind(lane);
	else if (dice % 29 == 2)
		lane_abandon_rx(lane, lane->arrived + dice / 29 % 4);
	else if (dice % 7 == 2 && lane->consumed < lane->arrived)
		lane_consume(lane);
	else
		lane_poll_rx(lane);
}

void random_walk(void)
{
	uint64_t rand = check_seed();
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	for (int round = 0; round < 5; round++) {
		lane_open(&lane, &s, 400,
			  round % 2 ? s.limits.chunk_bytes : 300);
		lane.spans_max = s.limits.spans_max < 40 ? s.limits.spans_max :
							   40;
		while (!lane_done_tx(&lane) || !lane_done_rx(&lane)) {
			uint64_t dice = check_rand(&rand);

			if (dice % 2)
				random_tx(&lane, dice / 2);
			else
				random_rx(&lane, dice / 2);
		}
		CHECK_STATUS(lane.tx.failed, TCPX_OK);
		CHECK_STATUS(lane.rx.failed, TCPX_OK);
		lane_close(&lane);
	}
	subject_close(&s);
}

/* ---- threads ----------------------------------------------------------- */

static void *drive_tx(void *arg)
{
	struct lane *lane = arg;

	while (!lane_done_tx(lane))
		lane_run_tx(lane);
	return NULL;
}

static void *drive_rx(void *arg)
{
	struct lane *lane = arg;

	while (!lane_done_rx(lane))
		lane_run_rx(lane);
	return NULL;
}

static void *drive_both(void *arg)
{
	lane_finish(arg);
	return NULL;
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

/* The two ends of a channel have an owner each. */
void two_threads_a_lane(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 400, s.limits.chunk_bytes);
	pthread_t tx = start(drive_tx, &lane), rx = start(drive_rx, &lane);
	pthread_join(tx, NULL);
	pthread_join(rx, NULL);
	CHECK_STATUS(lane.tx.failed, TCPX_OK);
	CHECK_STATUS(lane.rx.failed, TCPX_OK);
	lane_close(&lane);
	subject_close(&s);
}

/* Two lanes of one transport: what they share is locked. */
void two_lanes_two_threads(void)
{
	struct lane lanes[2];
	pthread_t threads[2];
	struct subject s;

	subject_open(&s, CHUNK_BYTES);
	for (int i = 0; i < 2; i++)
		lane_open(&lanes[i], &s, 300, s.limits.chunk_bytes);
	for (int i = 0; i < 2; i++)
		threads[i] = start(drive_both, &lanes[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++)
		lane_close(&lanes[i]);
	subject_close(&s);
}
