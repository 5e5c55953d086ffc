/* SPDX-License-Identifier: Apache-2.0 */
#include "net/talk.h"

#include "check.h"
#include "support/scale.h"

#define SOON scale_ms(30000)

/* WRITEs of everything, each with its number as notification. */
static void *write_and_tell(void *arg)
{
	struct talk *talk = arg;
	struct duo *t = talk->t;
	uint64_t xfer = xfer_one(&t->sess, t->remote.peer, TCPX_OP_WRITE,
				 t->mem, 0, t->handle, 0, talk->cap_bytes);

	while (!atomic_load(&talk->over)) {
		char text[24];
		int len = snprintf(text, sizeof(text), "%llu",
				   (unsigned long long)talk->n_sent);
		struct tcpx_post_params post = {.size_bytes = sizeof(post),
						.has_notify = true,
						.notify = text,
						.notify_len_bytes =
							(size_t)len};

		CHECK_STATUS(tcpx_xfer_post(t->sess.s, xfer, &post), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t->sess.s, xfer, SOON), TCPX_OK);
		talk->n_sent++;
	}
	CHECK_STATUS(tcpx_xfer_release(t->sess.s, xfer), TCPX_OK);
	return NULL;
}

void talk_begin(struct talk *talk, struct duo *t, uint64_t cap_bytes)
{
	*talk = (struct talk){.t = t, .cap_bytes = cap_bytes};
	CHECK(!pthread_create(&talk->thread, NULL, write_and_tell, talk));
}

void talk_back_for(struct talk *talk, int ms)
{
	uint64_t end = test_now_ns() + (uint64_t)ms * 1000000u;

	while (test_now_ns() < end) {
		remote_must(&talk->t->remote, "notify %llu %llu",
			    (unsigned long long)talk->t->remote.back,
			    (unsigned long long)talk->n_back++);
		test_sleep_ms(5);
	}
}

static void expect_here(struct talk *talk)
{
	struct tcpx_notification *note;
	struct tcpx_session *s = talk->t->sess.s;

	for (uint64_t k = 0; k < talk->n_back; k++) {
		char text[24] = "";

		CHECK_STATUS(tcpx_notify_wait(s, &note, SOON), TCPX_OK);
		CHECK(note->len_bytes < sizeof(text));
		memcpy(text, note->data, note->len_bytes);
		tcpx_notify_free(note);
		CHECK_EQ(strtoull(text, NULL, 10), k);
	}
	CHECK_STATUS(tcpx_notify_wait(s, &note, 200), TCPX_ETIMEDOUT);
}

static void expect_there(struct talk *talk)
{
	unsigned long long got;

	for (uint64_t k = 0; k < talk->n_sent; k++) {
		CHECK_EQ(sscanf(remote_must(&talk->t->remote, "note %d", SOON),
				"%*u %*x %llu", &got),
			 1);
		CHECK_EQ(got, k);
	}
	CHECK(!proc_ask(&talk->t->remote.proc, "note 200"));
}

void talk_end(struct talk *talk)
{
	atomic_store(&talk->over, true);
	pthread_join(talk->thread, NULL);
	fprintf(stderr, "%llu WRITEs, %llu notifications back\n",
		(unsigned long long)talk->n_sent,
		(unsigned long long)talk->n_back);
	expect_there(talk);
	expect_here(talk);
	duo_same(talk->t);
}
