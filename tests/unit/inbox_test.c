/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/atomic.h"
#include "check.h"
#include "core/inbox.h"

static struct inbox *make(void)
{
	struct inbox *inbox = NULL;

	CHECK_STATUS(inbox_create(&inbox), TCPX_OK);
	return inbox;
}

static struct inbox_note *note_of(uint64_t peer, const char *text)
{
	struct inbox_note *note = inbox_note_alloc(strlen(text));

	CHECK(note);
	note->pub.peer = peer;
	memcpy((void *)(uintptr_t)note->pub.data, text, strlen(text));
	return note;
}

static void notes_in_order(void)
{
	struct inbox *inbox = make();
	struct inbox_note *note;

	CHECK(!inbox_has_note(inbox));
	CHECK(!inbox_take_note(inbox));
	inbox_put_note(inbox, note_of(1, "one"));
	inbox_put_note(inbox, note_of(2, ""));
	CHECK(inbox_has_note(inbox));
	note = inbox_take_note(inbox);
	CHECK_EQ(note->pub.peer, 1);
	CHECK_EQ(note->pub.len_bytes, 3);
	CHECK_MEM(note->pub.data, "one", 3);
	tcpx_notify_free(&note->pub);
	note = inbox_take_note(inbox);
	CHECK_EQ(note->pub.peer, 2);
	CHECK_EQ(note->pub.len_bytes, 0);
	tcpx_notify_free(&note->pub);
	CHECK(!inbox_has_note(inbox));
	CHECK(!inbox_take_note(inbox));
	tcpx_notify_free(NULL);
	inbox_destroy(inbox);
}

/* Charged to it, or shown as its; the others stay, in order. */
static void notes_of_one(void)
{
	struct inbox *inbox = make();
	struct inbox_note *note;
	struct list taken;
	int n = 0;

	list_init(&taken);
	for (int i = 0; i < 6; i++) {
		note = note_of(1 + (uint64_t)i % 3, "x");
		note->charge_peer = i == 5 ? 1 : note->pub.peer;
		inbox_put_note(inbox, note);
	}
	inbox_take_notes_of(inbox, 1, &taken);
	list_for_each_safe (node, &taken) {
		n++;
		tcpx_notify_free(
			&list_entry(node, struct inbox_note, link)->pub);
	}
	CHECK_EQ(n, 3);
	for (uint64_t i = 0; i < 3; i++) {
		note = inbox_take_note(inbox);
		CHECK(note);
		CHECK_EQ(note->pub.peer, 2 + i % 2);
		tcpx_notify_free(&note->pub);
	}
	CHECK(!inbox_has_note(inbox));
	inbox_destroy(inbox);
}

static void notes_have_a_limit(void)
{
	struct inbox_note *note = inbox_note_alloc(TCPX_NOTIFY_MAX);

	CHECK(note);
	tcpx_notify_free(&note->pub);
	CHECK(!inbox_note_alloc(TCPX_NOTIFY_MAX + 1));
	CHECK(!inbox_note_alloc(SIZE_MAX));
}

/* Leaks show under the address sanitizer. */
static void destroy_frees_what_waits(void)
{
	struct inbox *inbox = make();
	struct tcpx_event event = {.kind = TCPX_EVENT_PEER_LOST};

	for (int i = 0; i < 10; i++) {
		inbox_put_note(inbox, note_of(1, "left"));
		inbox_put_event(inbox, &event);
	}
	inbox_destroy(inbox);
	inbox_destroy(NULL);
}

static void events_in_order(void)
{
	struct inbox *inbox = make();
	struct tcpx_event event = {.kind = TCPX_EVENT_PEER_CONNECTED};
	uint64_t put = 0, taken = 0;

	CHECK(!inbox_has_event(inbox));
	CHECK(!inbox_take_event(inbox, &event));
	for (int round = 0; round < 40; round++) {
		/* The ring wraps, and grows with something in it. */
		for (int i = 0; i < 100; i++) {
			event.peer = put++;
			inbox_put_event(inbox, &event);
		}
		for (int i = 0; i < 60; i++) {
			CHECK(inbox_has_event(inbox));
			CHECK(inbox_take_event(inbox, &event));
			CHECK_EQ(event.peer, taken++);
		}
	}
	while (inbox_take_event(inbox, &event))
		CHECK_EQ(event.peer, taken++);
	CHECK_EQ(taken, put);
	CHECK(!inbox_has_event(inbox));
	CHECK_EQ(inbox_events_dropped(inbox), 0);
	inbox_destroy(inbox);
}

static void oldest_events_are_dropped(void)
{
	struct inbox *inbox = make();
	struct tcpx_event event = {.kind = TCPX_EVENT_PEER_LOST};
	uint64_t next = 1000;

	for (uint64_t i = 0; i < 4096 + 1000; i++) {
		event.peer = i;
		inbox_put_event(inbox, &event);
	}
	CHECK_EQ(inbox_events_dropped(inbox), 1000);
	while (inbox_take_event(inbox, &event))
		CHECK_EQ(event.peer, next++);
	CHECK_EQ(next, 5096);
	inbox_destroy(inbox);
}

#define N_PUTTERS 3
#define N_EACH 5000

struct putter {
	struct inbox *inbox;
	uint64_t peer;
};

static void *put_many(void *arg)
{
	struct putter *putter = arg;
	char text[16];

	for (int i = 0; i < N_EACH; i++) {
		snprintf(text, sizeof(text), "%d", i);
		inbox_put_note(putter->inbox, note_of(putter->peer, text));
	}
	return NULL;
}

/* Whatever the interleaving: all arrive, in order per putter. */
static void many_threads_put(void)
{
	struct putter putters[N_PUTTERS];
	pthread_t threads[N_PUTTERS];
	int next[N_PUTTERS] = {0};
	struct inbox *inbox = make();

	for (int i = 0; i < N_PUTTERS; i++) {
		putters[i] = (struct putter){inbox, (uint64_t)i};
		CHECK_EQ(pthread_create(&threads[i], NULL, put_many,
					&putters[i]),
			 0);
	}
	for (int n = 0; n < N_PUTTERS * N_EACH;) {
		struct inbox_note *note = inbox_take_note(inbox);
		char want[16];

		if (!note) {
			cpu_relax();
			continue;
		}
		snprintf(want, sizeof(want), "%d", next[note->pub.peer]++);
		CHECK_EQ(note->pub.len_bytes, strlen(want));
		CHECK_MEM(note->pub.data, want, strlen(want));
		tcpx_notify_free(&note->pub);
		n++;
	}
	for (int i = 0; i < N_PUTTERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(!inbox_has_note(inbox));
	inbox_destroy(inbox);
}

static const struct check_case cases[] = {
	{"notes_in_order", notes_in_order, 0},
	{"notes_of_one", notes_of_one, 0},
	{"notes_have_a_limit", notes_have_a_limit, 0},
	{"destroy_frees_what_waits", destroy_frees_what_waits, 0},
	{"events_in_order", events_in_order, 0},
	{"oldest_events_are_dropped", oldest_events_are_dropped, 0},
	{"many_threads_put", many_threads_put, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
