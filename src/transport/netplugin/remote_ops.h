/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_REMOTE_OPS_H
#define NETPLUGIN_REMOTE_OPS_H

/* Apart from remote.h, whose structs have the names of those in process. */
struct transport_ops;
extern const struct transport_ops netplugin_remote;

#endif
