/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_MATCH_H
#define ENGINE_MATCH_H

/*
 * SEND meets RECV: per peer, by tag, in order within a tag. Short SENDs bring
 * their bytes along and may wait here with them (PEER_SENDS_MAX of at most
 * small_bytes each); long ones bring only their length, and their bytes when
 * we say go. The peer's lock is held.
 */

#include <stdbool.h>
#include <stdint.h>

struct msg_send;
struct peer;
struct xfer;

/* A RECV was posted: match it, or keep it in peer->recvs. */
void match_recv(struct xfer *recv);
/* A SEND came. 0, or what fails the peer. */
int match_send(struct peer *peer, const struct msg_send *msg);
/* The sender takes it back. Whether it was waiting here. */
bool match_cancel(struct peer *peer, uint64_t wire_id);
/* A matched RECV ends early on our side: tell the sender. */
void match_abandon(struct xfer *recv, int status, const char *cause);
void match_free(struct peer *peer);

#endif
