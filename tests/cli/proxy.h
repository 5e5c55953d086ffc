/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CLI_PROXY_H
#define TESTS_CLI_PROXY_H

/*
 * A wire that lies: takes connections at 127.0.0.3:port, carries them on to
 * 127.0.0.2:port, and changes one byte of each towards the server, the one at
 * flip_off of the stream. TCP's own checksum is made anew at each hop, so
 * nobody below us can notice. Runs in threads until the case ends.
 */

#include <stdbool.h>
#include <stdint.h>

#define PROXY_ADDRESS "127.0.0.3"
#define PROXY_SERVER "127.0.0.2"

/* Fails the case if it cannot listen. */
void proxy_start(uint16_t port, uint64_t flip_off);
/* How many bytes were changed so far. */
unsigned proxy_flips(void);

#endif
