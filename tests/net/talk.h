/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_TALK_H
#define TESTS_NET_TALK_H

/* Notifications while connections come and go: from here one behind each WRITE
 * of everything, by a thread; from there on their own. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "e2e/duo.h"

struct talk {
	struct duo *t;
	uint64_t cap_bytes; /* of a WRITE */
	uint64_t n_sent; /* from here */
	uint64_t n_back; /* from there */
	_Atomic bool over;
	pthread_t thread;
};

void talk_begin(struct talk *talk, struct duo *t, uint64_t cap_bytes);
/* They say something every few milliseconds. */
void talk_back_for(struct talk *talk, int ms);
/* All has arrived, each once, in order. */
void talk_end(struct talk *talk);

#endif
