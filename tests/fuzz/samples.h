/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAMPLES_H
#define SAMPLES_H

/* One good specimen of everything that crosses the wire: what the unit tests
 * round-trip and the fuzzers' corpora start from. */

#include "any_msg.h"
#include "wire/blob.h"
#include "wire/hello.h"
#include "wire/segs.h"

struct sample_msg {
	const char *name;
	uint16_t type;
	uint32_t tail_bytes; /* at the end that may be of any length */
	uint32_t tail_least; /* but not shorter than this */
	union any_msg m;
};

extern const struct sample_msg sample_msgs[];
extern const size_t n_sample_msgs;

struct sample_segs {
	const char *name;
	uint32_t n, n_regions;
	const struct wire_seg *segs;
	const char *bytes; /* what they encode to */
	size_t len_bytes;
};

extern const struct sample_segs sample_segs[];
extern const size_t n_sample_segs;

extern const struct hello_hello sample_hello, sample_flow_hello,
	sample_resume_hello;
extern const struct hello_challenge sample_challenge;
extern const struct hello_proof sample_proof;
extern const struct hello_verdict sample_verdict, sample_refusal;
extern const struct conn_blob sample_conn_blob;
extern const struct mem_blob_entry sample_mem_entries[3];

/* Encoded into buf of at least MSG_HEADER_BYTES + MSG_BODY_MAX; the length. */
size_t sample_msg_frame(const struct sample_msg *s, uint64_t seq, uint8_t *buf);

#endif
