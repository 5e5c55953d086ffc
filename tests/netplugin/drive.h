/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NETPLUGIN_DRIVE_H
#define TESTS_NETPLUGIN_DRIVE_H

/*
 * A small driver of a net plugin, for tests of the doubles: both ends in this
 * process, one thread, and nothing hidden, so that every rule can be broken.
 * A call that fails where no rule is broken ends the test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/netplugin/abi.h"

#define DRIVE_BUFFER_BYTES (1u << 20) /* of each side */
#define DRIVE_CHUNK_BYTES 65536

struct drive_end {
	void *comm;
	uint8_t *data; /* page aligned, registered */
	void *mhandle;
};

struct drive_pair {
	_Alignas(8) uint8_t handle[NETPLUGIN_HANDLE_BYTES];
	void *lcomm;
	struct drive_end tx, rx;
	struct netplugin_device_handle device_handle;
	struct netplugin_device_handle *recv_handle; /* what accept gets */
	struct netplugin_unpack_meta *meta;
	uint8_t *bounce;
	uint64_t n_posted; /* receives, for the slot */
};

/* The plugin in use; valid from drive_load(). */
extern const struct netplugin_v7 *drive_net;
extern uint64_t (*drive_hits)(int rule);
extern void (*drive_set_device)(int device);
extern void (*drive_pages)(int device, uint32_t *n_all, uint32_t *n_free,
			   uint32_t *n_lost);
/* Lines that the plugin has logged as warnings, and the last of them. */
extern unsigned drive_n_warnings;

/* An environment in which nothing is wrong: two NICs on loopback, a chunk
 * size, a short wait, SIGPIPE ignored. */
void drive_env(void);
/* Loads TEST_DOUBLE after drive_env() and inits it. */
void drive_load(void);
/* Without init. */
void drive_open(void);
/* The v8 table of a plugin that a variable names, inited; drive_net is then
 * a v7 table over it. */
const struct netplugin_v8 *drive_load_v8(const char *variable);
/* Like drive_load(), in faithful mode. */
void drive_load_faithful(void);
bool drive_has_warned(const char *text);
void drive_log(int level, unsigned long flags, const char *file, int line,
	       const char *fmt, ...);

/* Polls connect and accept until both are there, registers a buffer at each
 * end. drive_connect() goes through dev. */
void drive_connect(struct drive_pair *pair, int dev);
void drive_listen(struct drive_pair *pair, int dev);
void drive_register(struct drive_end *end);
/* accept() until there is a comm, or ms have passed; its result. */
int drive_accept(struct drive_pair *pair, int ms);
int drive_poll_connect(struct drive_pair *pair, int dev, int ms);
void drive_close(struct drive_pair *pair);

void *drive_isend(struct drive_pair *pair, uint32_t off, int len_bytes);
void *drive_irecv(struct drive_pair *pair, int len_bytes);
/* test() once: true if done; its result must be 0. */
bool drive_test(void *request);
/* test() until done. */
void drive_wait(void *request);
/* Both of them, by turns. */
void drive_wait_both(void *a, void *b);
void drive_consumed(struct drive_pair *pair, void *request);

/* What slot says, copied to out (cap bytes); the bytes. Fails on an entry
 * outside them. */
uint64_t drive_unpack(struct drive_pair *pair, unsigned slot, uint8_t *out,
		      uint64_t cap_bytes);
/* A message of len bytes of pattern `seed`, all the way, checked. */
void drive_message(struct drive_pair *pair, int len_bytes, uint64_t seed);

/* Runs fn in a child; its wait status, what it wrote to stderr in text. */
int drive_child(void (*fn)(void), char *text, size_t cap_bytes);
/* fn must end by SIGABRT with "rule N:" on stderr. */
void drive_must_abort(void (*fn)(void), int rule);
/* fn must exit(1) with these words on stderr. */
void drive_must_exit(void (*fn)(void), const char *words);
/* fn must die by this signal. */
void drive_must_die(void (*fn)(void), int number);

#endif
