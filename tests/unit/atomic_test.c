/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "check.h"

static void wait_times_out(void)
{
	_Atomic uint32_t word = 7;
	uint64_t start_ns = clock_now_ns();

	errno = 0;
	while (clock_now_ns() - start_ns < 20 * NS_PER_MS)
		futex_wait(&word, 7, 20 * NS_PER_MS);
	CHECK_EQ(errno, 0);
	CHECK(clock_now_ns() - start_ns < 10 * NS_PER_S);
}

/* Would hang until the alarm if a changed word were slept on. */
static void changed_word_does_not_wait(void)
{
	_Atomic uint32_t word = 8;

	futex_wait(&word, 7, UINT64_MAX);
}

struct gate {
	_Atomic uint32_t word;
	_Atomic uint32_t n_through;
};

static void *pass(void *arg)
{
	struct gate *gate = arg;

	while (load_acquire(&gate->word) == 0)
		futex_wait(&gate->word, 0, UINT64_MAX);
	add_acq_rel(&gate->n_through, 1);
	return NULL;
}

static void wake_ends_a_wait(void)
{
	struct timespec ts = {0, 20 * 1000000};
	struct gate gate = {0, 0};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, pass, &gate), 0);
	nanosleep(&ts, NULL);
	CHECK_EQ(load_acquire(&gate.n_through), 0);
	store_release(&gate.word, 1);
	futex_wake(&gate.word, 4);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(load_acquire(&gate.n_through), 4);
}

static void one_of_many_gets_the_word(void)
{
	_Atomic uint32_t word = 0;

	CHECK(cas_acquire(&word, 0, 5));
	CHECK(!cas_acquire(&word, 0, 6));
	CHECK_EQ(load_relaxed(&word), 5);
}

static const struct check_case cases[] = {
	{"wait_times_out", wait_times_out, 0},
	{"changed_word_does_not_wait", changed_word_does_not_wait, 5},
	{"wake_ends_a_wait", wake_ends_a_wait, 10},
	{"one_of_many_gets_the_word", one_of_many_gets_the_word, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
