/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "relay.h"

static bool leaves_before(const struct packet *a, const struct packet *b)
{
	if (a->leave_ns != b->leave_ns)
		return a->leave_ns < b->leave_ns;
	return a->order < b->order;
}

static bool grow(struct wire_queue *queue)
{
	size_t cap = queue->cap_packets ? queue->cap_packets * 2 : 1024;
	struct packet **heap = realloc(queue->heap, cap * sizeof(*heap));

	if (!heap)
		return false;
	queue->heap = heap;
	queue->cap_packets = cap;
	return true;
}

static void sift_up(struct wire_queue *queue, size_t at)
{
	struct packet *packet = queue->heap[at];

	while (at > 0) {
		size_t parent = (at - 1) / 2;

		if (!leaves_before(packet, queue->heap[parent]))
			break;
		queue->heap[at] = queue->heap[parent];
		at = parent;
	}
	queue->heap[at] = packet;
}

static void sift_down(struct wire_queue *queue, size_t at)
{
	struct packet *packet = queue->heap[at];
	size_t n = queue->n_packets;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n &&
		    leaves_before(queue->heap[child + 1], queue->heap[child]))
			child++;
		if (!leaves_before(queue->heap[child], packet))
			break;
		queue->heap[at] = queue->heap[child];
		at = child;
	}
	queue->heap[at] = packet;
}

bool wire_queue_push(struct wire_queue *queue, const void *data,
		     uint32_t len_bytes, uint64_t leave_ns, uint64_t max_bytes)
{
	struct packet *packet;

	if (queue->n_bytes + len_bytes > max_bytes)
		return false;
	if (queue->n_packets == queue->cap_packets && !grow(queue))
		return false;
	packet = malloc(sizeof(*packet) + len_bytes);
	if (!packet)
		return false;
	packet->leave_ns = leave_ns;
	packet->order = queue->next_order++;
	packet->len_bytes = len_bytes;
	memcpy(packet->data, data, len_bytes);
	queue->heap[queue->n_packets++] = packet;
	queue->n_bytes += len_bytes;
	sift_up(queue, queue->n_packets - 1);
	return true;
}

struct packet *wire_queue_pop(struct wire_queue *queue, uint64_t now_ns)
{
	struct packet *first;

	if (!queue->n_packets || queue->heap[0]->leave_ns > now_ns)
		return NULL;
	first = queue->heap[0];
	queue->n_bytes -= first->len_bytes;
	queue->heap[0] = queue->heap[--queue->n_packets];
	if (queue->n_packets)
		sift_down(queue, 0);
	return first;
}

uint64_t wire_queue_next_ns(const struct wire_queue *queue)
{
	return queue->n_packets ? queue->heap[0]->leave_ns : UINT64_MAX;
}

void wire_queue_fini(struct wire_queue *queue)
{
	for (size_t i = 0; i < queue->n_packets; i++)
		free(queue->heap[i]);
	free(queue->heap);
	memset(queue, 0, sizeof(*queue));
}
