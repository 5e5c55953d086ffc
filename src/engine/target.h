/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_TARGET_H
#define ENGINE_TARGET_H

/*
 * The target's side of READ and WRITE: lists the peer sends us, requests that
 * use them, small ones at once. Whatever a peer names is checked here against
 * our regions (key, rights, bounds); a wrong request is answered DONE with
 * the reason and one log line, and nothing is touched. The peer's lock is
 * held; statuses returned fail the peer (violations only).
 */

#include <stdbool.h>
#include <stdint.h>

struct msg_get;
struct msg_list;
struct msg_put;
struct msg_read_end;
struct msg_write;
struct peer;
struct region;
struct stream;
struct xfer;

struct request {
	uint64_t wire_id;
	struct peer *peer;
	struct stream *stream;
	struct remote_list *list; /* READ, WRITE */
	struct xfer *recv;	/* a SEND that goes into this RECV */
	bool has_note;
	uint8_t *note;
	uint32_t note_bytes;
};

int target_on_list(struct peer *peer, const struct msg_list *msg);
int target_on_list_drop(struct peer *peer, uint64_t list_id);
int target_on_write(struct peer *peer, const struct msg_write *msg);
int target_on_read(struct peer *peer, const struct msg_write *msg);
int target_on_read_end(struct peer *peer, const struct msg_read_end *msg);
int target_on_put(struct peer *peer, const struct msg_put *msg);
int target_on_get(struct peer *peer, const struct msg_get *msg);
int target_on_cancel(struct peer *peer, uint64_t wire_id);

/* Wire ids come in order: 0, or TCPX_EPROTO. */
int target_see(struct peer *peer, uint64_t wire_id);
/* MSG_DONE to the initiator. */
void target_done(struct peer *peer, uint64_t wire_id, int status,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A request is over; its note, if kept and not delivered, is dropped. */
void request_end(struct request *request);
struct request *request_create(struct peer *peer, uint64_t wire_id);
/* Lists and requests that name a dead region end. */
void target_revoke(struct peer *peer, const struct region *region);
void target_free(struct peer *peer);

#endif
