/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_JOB_H
#define FAKES_NETPLUGIN_JOB_H

/*
 * What connect() and accept() leave to a thread of their own while their
 * caller polls. A job's address lies in the caller's handle, at byte 80, or
 * in the listen comm; jobs are never freed, so that a stale one is known.
 */

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/netplugin/abi.h"

/* What listen() writes into the 128 bytes: 88 of them. */
struct handle {
	uint64_t nonce; /* which listen comm */
	struct in_addr data_addr, ctrl_addr;
	uint16_t data_port, ctrl_port; /* network order */
	uint8_t n_socks, n_threads; /* the receiver decides */
	uint8_t recv_sync;
	uint8_t rest[80 - 23];
	struct job *job;
};

_Static_assert(offsetof(struct handle, job) == 80, "the job is at byte 80");
_Static_assert(sizeof(struct handle) == 88, "88 bytes are in use");

enum job_state { JOB_RUNNING, JOB_DONE };

struct job {
	struct job *next; /* of all, for ever */
	const void *owner; /* the handle's address, or the listen comm */
	struct handle handle; /* connect: as it was */
	struct comm *comm;
	int data_fd, ctrl_fd; /* accept: the listening sockets */
	unsigned n_calls; /* polls so far */
	unsigned min_calls; /* the comm appears not before */
	bool is_taken; /* the comm, or the error, went to the caller */
	int result; /* valid with JOB_DONE */
	atomic_int state;
};

/* Not one of a finished job's fields is touched by its thread. */
struct job *job_new(const void *owner, struct comm *comm);
/* NULL: no job has this address. */
struct job *job_find(const void *address);
/* A connect job for this listen comm, if there was one. */
struct job *job_of_nonce(uint64_t nonce);
/* Starts the thread, detached. */
void job_start_connect(struct job *job);
void job_start_accept(struct job *job);

#endif
