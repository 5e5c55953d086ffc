/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_SETUP_H
#define FAKES_NETPLUGIN_SETUP_H

struct netplugin_device_handle;

/* The entry points that make connections. */
int setup_listen(int dev, void *handle, void **lcomm);
int setup_connect(int dev, void *handle, void **scomm,
		  struct netplugin_device_handle **send_handle);
int setup_accept(void *lcomm, void **rcomm,
		 struct netplugin_device_handle **recv_handle);
int setup_close_listen(void *lcomm);

#endif
