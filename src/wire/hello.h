/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_HELLO_H
#define WIRE_HELLO_H

/*
 * The handshake of every connection, control and flow alike. K is the secret
 * of the listener (from its blob) or the one both share; it never travels.
 *
 *   connector                                        listener
 *     HELLO {versions, purpose, session, name,  -->
 *            nonce a, limits, ...}
 *                          <--  CHALLENGE {version, session, name, nonce b,
 *                                          limits, MAC_K("l" + HELLO + this)}
 *     PROOF {MAC_K("c" + HELLO + CHALLENGE)}    -->
 *                          <--  VERDICT {status, token, text}
 *
 * Every handshake message is a frame: u32 magic, u16 kind, u16 body length,
 * body. MACs cover the frames as they travelled, so neither limits nor names
 * can be changed on the way, and the nonces make a replay worthless.
 */

#include <stddef.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#define HELLO_MAGIC 0x50584354u /* "TCXP" */
#define HELLO_HEADER_BYTES 8
#define HELLO_BODY_MAX 3072
#define HELLO_MAC_BYTES 32
#define HELLO_NONCE_BYTES 32
#define HELLO_VERSION 5 /* spoken here, lowest and highest */
#define SESSION_ID_BYTES 16
#define SECRET_BYTES 32

enum hello_kind {
	HELLO_HELLO = 1,
	HELLO_CHALLENGE,
	HELLO_PROOF,
	HELLO_VERDICT,
};

enum hello_purpose {
	HELLO_CONTROL = 1,	/* a peer's control connection */
	HELLO_FLOW,		/* one more flow of a peer */
	HELLO_RESUME,		/* its control connection, in place of one that
				   is lost */
};

enum hello_key {
	HELLO_KEY_BLOB = 1,	/* K is the listener's session secret */
	HELLO_KEY_SHARED,	/* K is derived from the shared secret */
};

/* What each side can do; the peer works with the lesser of both. */
struct wire_limits {
	uint32_t chunk_bytes;
	uint32_t window_chunks;
	uint32_t small_bytes;
	uint32_t list_segments;	/* of lists a target keeps: msg_list_cost() */
	uint32_t n_flows;	/* a rail */
	uint32_t n_rails;
	uint64_t notify_bytes;	/* window of unread notifications */
	uint32_t features;	/* enum wire_feature */
	uint32_t liveness_ms;
};

enum wire_feature {
	FEATURE_CHECKSUM = 1,	/* wants every chunk checksummed */
};

struct hello_hello {
	uint16_t version_min, version_max;
	uint8_t purpose;	/* enum hello_purpose */
	uint8_t key;		/* enum hello_key */
	uint8_t session[SESSION_ID_BYTES]; /* the connector's */
	uint8_t target[SESSION_ID_BYTES]; /* whom it wants; zeros: whoever
					      listens here (host:port) */
	uint8_t nonce[HELLO_NONCE_BYTES];
	char name[TCPX_NAME_MAX];
	struct wire_limits limits;
	uint64_t token;		/* FLOW, RESUME: from the VERDICT of the peer's
				   first control connection */
	uint32_t rail, flow;	/* FLOW */
	uint32_t generation;	/* FLOW; RESUME: counts the attempts, from 1 */
	char transports[64];	/* allowed, comma-separated, best first */
	struct msg_blob_ref {
		const void *data;
		uint32_t len_bytes;
	} rails;		/* CONTROL: rail addresses of the connector as
				   in the connection blob; decoded in place */
};

struct hello_challenge {
	uint16_t version;
	uint8_t session[SESSION_ID_BYTES];
	uint8_t nonce[HELLO_NONCE_BYTES];
	char name[TCPX_NAME_MAX];
	struct wire_limits limits;
	char transports[64];
	struct msg_blob_ref rails; /* where flows may connect to */
	uint8_t mac[HELLO_MAC_BYTES];
};

struct hello_proof {
	uint8_t mac[HELLO_MAC_BYTES];
};

struct hello_verdict {
	int32_t status;		/* 0, or why the listener refuses */
	uint64_t token;		/* CONTROL: names this peer in the HELLOs of its
				   flows, and when it is resumed */
	char text[160];
};

struct hello_header {
	uint16_t kind;
	uint16_t body_bytes;
};

/* Frames, header included, into buf of HELLO_HEADER_BYTES + HELLO_BODY_MAX;
 * return the frame's length in bytes, or a negative status. */
int hello_hello_encode(const struct hello_hello *m, void *buf);
int hello_challenge_encode(const struct hello_challenge *m, void *buf);
int hello_proof_encode(const struct hello_proof *m, void *buf);
int hello_verdict_encode(const struct hello_verdict *m, void *buf);
/* Bytes of a challenge frame that its own MAC covers: all but the last. */
#define HELLO_CHALLENGE_MACED(frame_bytes) ((frame_bytes)-HELLO_MAC_BYTES)

/* TCPX_EPROTO: wrong magic, unknown kind, body over HELLO_BODY_MAX. */
int hello_header_decode(const uint8_t buf[HELLO_HEADER_BYTES],
			struct hello_header *h);
/* Bodies; 0 or TCPX_EPROTO (TCPX_EVERSION: only from hello_hello_decode, when
 * no common version exists; the rest of the struct is then still valid). */
int hello_hello_decode(const void *body, size_t len_bytes,
		       struct hello_hello *m);
int hello_challenge_decode(const void *body, size_t len_bytes,
			   struct hello_challenge *m);
int hello_proof_decode(const void *body, size_t len_bytes,
		       struct hello_proof *m);
int hello_verdict_decode(const void *body, size_t len_bytes,
			 struct hello_verdict *m);

/* The lesser of both sides, field by field; features are or'ed. */
struct wire_limits wire_limits_meet(const struct wire_limits *a,
				    const struct wire_limits *b);

#endif
