/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/streams.h"

#include <stdlib.h>
#include <time.h>

#include <tcpx/status.h>

#include "base/clock.h"
#include "base/sigmask.h"

#define N_QUEUES (GPU_STREAMS + 1)

/* Half of the tasks at once; one in 32 very late. */
static uint64_t roll_delay(struct streams *streams)
{
	uint64_t delay_ns;

	if (streams->delay_ns == 0 || dice_roll(&streams->dice, 2))
		return 0;
	delay_ns = dice_next(&streams->dice) % streams->delay_ns;
	return dice_roll(&streams->dice, 32) ? delay_ns : 20 * delay_ns;
}

int streams_add(struct streams *streams, uint32_t stream,
		const struct task *task, uint32_t n_max)
{
	struct task *copy = malloc(sizeof(*copy));

	if (!copy)
		return TCPX_EAGAIN;
	*copy = *task;
	copy->next = NULL;
	pthread_mutex_lock(&streams->lock);
	if (streams->queues[stream].n >= n_max) {
		pthread_mutex_unlock(&streams->lock);
		free(copy);
		return TCPX_EAGAIN;
	}
	copy->seed = dice_next(&streams->dice);
	copy->ready_ns = clock_now_ns() + roll_delay(streams);
	*streams->queues[stream].tail = copy;
	streams->queues[stream].tail = &copy->next;
	streams->queues[stream].n++;
	pthread_cond_signal(&streams->changed);
	pthread_mutex_unlock(&streams->lock);
	return TCPX_OK;
}

static struct task *pop(struct streams *streams, uint32_t i)
{
	struct task *task = streams->queues[i].head;

	streams->queues[i].head = task->next;
	if (!task->next)
		streams->queues[i].tail = &streams->queues[i].head;
	streams->queues[i].n--;
	return task;
}

/* When the head of a stream can run: 0 now, UINT64_MAX not by itself. */
static uint64_t wake_ns(struct streams *streams, uint32_t i, uint64_t now)
{
	const struct task *task = streams->queues[i].head;

	if (!task || streams->queues[i].busy || task->hangs)
		return UINT64_MAX;
	return task->ready_ns <= now ? 0 : task->ready_ns;
}

/* Any stream that can run; N_QUEUES and until when to wait if none can. */
static uint32_t choose(struct streams *streams, uint64_t *until_ns)
{
	uint32_t first = dice_roll(&streams->dice, N_QUEUES);
	uint64_t now = clock_now_ns();

	*until_ns = UINT64_MAX;
	for (uint32_t k = 0; k < N_QUEUES; k++) {
		uint32_t i = (first + k) % N_QUEUES;
		uint64_t at = wake_ns(streams, i, now);

		if (at == 0)
			return i;
		if (at < *until_ns)
			*until_ns = at;
	}
	return N_QUEUES;
}

/* The lock is held. */
static void pause_runner(struct streams *streams, uint64_t until_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};

	if (until_ns == UINT64_MAX)
		pthread_cond_wait(&streams->changed, &streams->lock);
	else
		pthread_cond_timedwait(&streams->changed, &streams->lock, &ts);
}

static void run_head(struct streams *streams, uint32_t i)
{
	struct task *task = pop(streams, i);

	streams->queues[i].busy = true;
	/* The other runner may find something beside it. */
	pthread_cond_signal(&streams->changed);
	pthread_mutex_unlock(&streams->lock);
	streams->run(streams->arg, task);
	free(task);
	pthread_mutex_lock(&streams->lock);
	streams->queues[i].busy = false;
}

bool streams_busy(struct streams *streams)
{
	bool busy = false;

	pthread_mutex_lock(&streams->lock);
	for (uint32_t i = 0; i < N_QUEUES; i++)
		busy |= streams->queues[i].busy;
	pthread_mutex_unlock(&streams->lock);
	return busy;
}

static void *runner(void *arg)
{
	struct streams *streams = arg;
	uint64_t until_ns;
	uint32_t i;

	pthread_mutex_lock(&streams->lock);
	while (!streams->stop) {
		i = choose(streams, &until_ns);
		if (i < N_QUEUES)
			run_head(streams, i);
		else
			pause_runner(streams, until_ns);
	}
	pthread_mutex_unlock(&streams->lock);
	return NULL;
}

static void stop_runners(struct streams *streams, int n)
{
	pthread_mutex_lock(&streams->lock);
	streams->stop = true;
	pthread_cond_broadcast(&streams->changed);
	pthread_mutex_unlock(&streams->lock);
	for (int i = 0; i < n; i++)
		pthread_join(streams->runners[i], NULL);
}

static void fini(struct streams *streams)
{
	for (uint32_t i = 0; i < N_QUEUES; i++) {
		while (streams->queues[i].head)
			free(pop(streams, i));
	}
	pthread_cond_destroy(&streams->changed);
	pthread_mutex_destroy(&streams->lock);
}

int streams_start(struct streams *streams, uint64_t seed, uint64_t delay_ns,
		  void (*run)(void *arg, struct task *task), void *arg)
{
	pthread_condattr_t attr;

	*streams = (struct streams){
		.dice = {seed}, .delay_ns = delay_ns, .run = run, .arg = arg};
	for (uint32_t i = 0; i < N_QUEUES; i++)
		streams->queues[i].tail = &streams->queues[i].head;
	pthread_mutex_init(&streams->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&streams->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (int i = 0; i < STREAMS_RUNNERS; i++) {
		if (sigmask_start_thread(&streams->runners[i], NULL, runner,
					 streams) != 0) {
			stop_runners(streams, i);
			fini(streams);
			return TCPX_ENOMEM;
		}
	}
	return TCPX_OK;
}

void streams_stop(struct streams *streams)
{
	stop_runners(streams, STREAMS_RUNNERS);
	fini(streams);
}
