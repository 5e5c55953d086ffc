/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/atomic.h"

#define EVENTS_MAX 4096u /* as p2p.h promises */

struct inbox {
	pthread_mutex_t note_lock;
	struct list notes; /* note_lock */
	_Atomic uint32_t n_notes; /* written under note_lock */

	pthread_mutex_t event_lock;
	struct tcpx_event *events; /* ring; event_lock */
	uint32_t event_head, event_cap; /* event_lock */
	uint64_t events_dropped; /* event_lock */
	_Atomic uint32_t n_events; /* written under event_lock */
};

int inbox_create(struct inbox **inbox)
{
	struct inbox *box = calloc(1, sizeof(*box));

	if (!box)
		return TCPX_ENOMEM;
	box->event_cap = 64;
	box->events = calloc(box->event_cap, sizeof(*box->events));
	if (!box->events)
		goto err_free;
	list_init(&box->notes);
	pthread_mutex_init(&box->note_lock, NULL);
	pthread_mutex_init(&box->event_lock, NULL);
	*inbox = box;
	return 0;
err_free:
	free(box);
	return TCPX_ENOMEM;
}

void inbox_destroy(struct inbox *inbox)
{
	if (!inbox)
		return;
	list_for_each_safe (node, &inbox->notes)
		free(list_entry(node, struct inbox_note, link));
	pthread_mutex_destroy(&inbox->note_lock);
	pthread_mutex_destroy(&inbox->event_lock);
	free(inbox->events);
	free(inbox);
}

struct inbox_note *inbox_note_alloc(size_t len_bytes)
{
	struct inbox_note *note;

	if (len_bytes > TCPX_NOTIFY_MAX)
		return NULL;
	note = malloc(sizeof(*note) + len_bytes);
	if (!note)
		return NULL;
	*note = (struct inbox_note){0};
	list_init(&note->link);
	note->pub.data = note + 1;
	note->pub.len_bytes = len_bytes;
	return note;
}

void tcpx_notify_free(struct tcpx_notification *notification)
{
	if (notification)
		free(list_entry(notification, struct inbox_note, pub));
}

void inbox_put_note(struct inbox *inbox, struct inbox_note *note)
{
	pthread_mutex_lock(&inbox->note_lock);
	list_add_tail(&inbox->notes, &note->link);
	/* Pairs with inbox_has_note(), in who goes to sleep. */
	atomic_fetch_add(&inbox->n_notes, 1);
	pthread_mutex_unlock(&inbox->note_lock);
}

struct inbox_note *inbox_take_note(struct inbox *inbox)
{
	struct inbox_note *note = NULL;

	if (!inbox_has_note(inbox))
		return NULL; /* who polls in vain does not bounce the lock */
	pthread_mutex_lock(&inbox->note_lock);
	if (!list_empty(&inbox->notes)) {
		note = list_entry(inbox->notes.next, struct inbox_note, link);
		list_del(&note->link);
		add_acq_rel(&inbox->n_notes, -1u);
	}
	pthread_mutex_unlock(&inbox->note_lock);
	return note;
}

void inbox_take_notes_of(struct inbox *inbox, uint64_t peer, struct list *notes)
{
	pthread_mutex_lock(&inbox->note_lock);
	list_for_each_safe (node, &inbox->notes) {
		struct inbox_note *note =
			list_entry(node, struct inbox_note, link);

		if (note->charge_peer != peer && note->pub.peer != peer)
			continue;
		list_move_tail(notes, &note->link);
		add_acq_rel(&inbox->n_notes, -1u);
	}
	pthread_mutex_unlock(&inbox->note_lock);
}

bool inbox_has_note(struct inbox *inbox)
{
	return atomic_load(&inbox->n_notes) > 0;
}

/* Doubles the ring while it may grow; event_lock held. */
static void ring_grow(struct inbox *inbox, uint32_t n)
{
	uint32_t cap = inbox->event_cap * 2;
	struct tcpx_event *grown;

	if (cap > EVENTS_MAX)
		return;
	grown = calloc(cap, sizeof(*grown));
	if (!grown)
		return; /* the oldest is dropped instead */
	for (uint32_t i = 0; i < n; i++)
		grown[i] = inbox->events[(inbox->event_head + i) %
					 inbox->event_cap];
	free(inbox->events);
	inbox->events = grown;
	inbox->event_head = 0;
	inbox->event_cap = cap;
}

void inbox_put_event(struct inbox *inbox, const struct tcpx_event *event)
{
	uint32_t n;

	pthread_mutex_lock(&inbox->event_lock);
	n = load_relaxed(&inbox->n_events);
	if (n == inbox->event_cap)
		ring_grow(inbox, n);
	if (n == inbox->event_cap) {
		inbox->event_head = (inbox->event_head + 1) % inbox->event_cap;
		inbox->events_dropped++;
		n--;
	}
	inbox->events[(inbox->event_head + n) % inbox->event_cap] = *event;
	/* Pairs with inbox_has_event(), in who goes to sleep. */
	atomic_store(&inbox->n_events, n + 1);
	pthread_mutex_unlock(&inbox->event_lock);
}

bool inbox_take_event(struct inbox *inbox, struct tcpx_event *event)
{
	uint32_t n;

	if (!inbox_has_event(inbox))
		return false;
	pthread_mutex_lock(&inbox->event_lock);
	n = load_relaxed(&inbox->n_events);
	if (n > 0) {
		*event = inbox->events[inbox->event_head];
		inbox->event_head = (inbox->event_head + 1) % inbox->event_cap;
		store_release(&inbox->n_events, n - 1);
	}
	pthread_mutex_unlock(&inbox->event_lock);
	return n > 0;
}

bool inbox_has_event(struct inbox *inbox)
{
	return atomic_load(&inbox->n_events) > 0;
}

bool inbox_rename_peer(struct inbox *inbox, uint64_t from, uint64_t to)
{
	bool connected = false;

	pthread_mutex_lock(&inbox->note_lock);
	list_for_each (node, &inbox->notes) {
		struct inbox_note *note =
			list_entry(node, struct inbox_note, link);

		if (note->pub.peer == from)
			note->pub.peer = to;
	}
	pthread_mutex_unlock(&inbox->note_lock);
	pthread_mutex_lock(&inbox->event_lock);
	for (uint32_t i = 0; i < load_relaxed(&inbox->n_events); i++) {
		struct tcpx_event *event =
			&inbox->events[(inbox->event_head + i) %
				       inbox->event_cap];

		if (event->peer != from)
			continue;
		event->peer = to;
		connected |= event->kind == TCPX_EVENT_PEER_CONNECTED;
	}
	pthread_mutex_unlock(&inbox->event_lock);
	return connected;
}

uint64_t inbox_events_dropped(struct inbox *inbox)
{
	uint64_t n;

	pthread_mutex_lock(&inbox->event_lock);
	n = inbox->events_dropped;
	pthread_mutex_unlock(&inbox->event_lock);
	return n;
}
