/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_CALLS_H
#define FAKES_NETPLUGIN_CALLS_H

/* The entry points of the data path. */
int calls_isend(void *scomm, void *data, int size_bytes, int tag, void *mhandle,
		void **request);
int calls_irecv(void *rcomm, int n, void **data, int *sizes_bytes, int *tags,
		void **mhandles, void **request);
int calls_iflush(void *rcomm, int n, void **data, int *sizes_bytes,
		 void **mhandles, void **request);
int calls_test(void *request, int *done, int *sizes_bytes);
int calls_irecv_consumed(void *rcomm, int n, void *request);
int calls_close_send(void *scomm);
int calls_close_recv(void *rcomm);

#endif
