/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_MAKE_H
#define NETPLUGIN_MAKE_H

/* The control calls themselves: the lock, the current device, and what is
 * checked before and after (calls.c). On the control thread. The reason of a
 * failure is in transport->why. */

#include <stdbool.h>

struct channel;
struct listener;
struct rail;
struct transport;

int make_call_listen(struct listener *listener);
/* false: could not be called now. */
bool make_call_close_listen(struct listener *listener);
/* TCPX_INPROGRESS; 0: the comm is there and ready for use; or a status. */
int make_call_connect(struct channel *channel);
int make_call_accept(struct channel *channel);
/* Closes the plugin's comm and frees what it used. false: not now. */
bool make_call_close(struct channel *channel);

/* NULL: out of memory. */
struct channel *channel_create(struct transport *t, struct rail *rail,
			       bool sends);
/* The plugin writes into it yet, maybe for ever: it stays for good. */
void channel_leave_behind(struct channel *channel);
/* Without a comm of the plugin. */
void channel_destroy(struct channel *channel);

#endif
