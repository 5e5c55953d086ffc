/* SPDX-License-Identifier: Apache-2.0 */
#include "proof.h"

#include "entry.h"
#include "message.h"
#include "nic_counters.h"

#include <net/if.h>
#include <string.h>

#define PART "devmem"
#define CALL_WAIT_MS 10000

/* ---- one end, one moment ----------------------------------------------- */

static bool is_in_use(const json_t *path, const char *ifname)
{
	const json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(path, "pairs"), i, pair)
	{
		if (entry_of(json_object_get(pair, "rails"), "ifname", ifname))
			return true;
	}
	return false;
}

static json_t *entry(const char *ifname, bool in_use,
		     const struct nic_counters *counters)
{
	json_t *values = json_object();

	for (unsigned i = 0; i < counters->n; i++)
		json_object_set_new(
			values, counters->list[i].name,
			json_integer((json_int_t)counters->list[i].value));
	return json_pack("{ss sb ss? so}", "ifname", ifname, "in_use", in_use,
			 "why", counters->why[0] ? counters->why : NULL,
			 "counters", values);
}

json_t *proof_read(struct tcpx_session *session, uint64_t peer)
{
	struct if_nameindex *all = if_nameindex();
	json_t *path = path_describe(session, peer), *list = json_array();
	struct nic_counters counters;

	for (unsigned i = 0; all && all[i].if_name; i++) {
		const char *name = all[i].if_name;
		bool in_use = is_in_use(path, name);

		nic_counters_read(&nic_driver_kernel, name, PART, &counters);
		if (in_use || counters.n)
			json_array_append_new(list,
					      entry(name, in_use, &counters));
	}
	if (all)
		if_freenameindex(all);
	json_decref(path);
	return list;
}

/* ---- both ends, before and after --------------------------------------- */

static json_t *ask_server(const struct remote *remote)
{
	struct message_error error;
	json_t *reply = NULL, *list;

	if (message_call(remote->session, remote->peer,
			 json_pack("{ss}", "do", "counters"), CALL_WAIT_MS,
			 &reply, &error))
		return NULL;
	list = json_incref(json_object_get(reply, "nics"));
	json_decref(reply);
	return list;
}

void proof_begin(const struct remote *remote, struct proof *proof)
{
	proof->here = proof_read(remote->session, remote->peer);
	proof->there = ask_server(remote);
}

json_t *proof_end(const struct remote *remote, struct proof *proof)
{
	json_t *here = proof_read(remote->session, remote->peer);
	json_t *there = proof->there ? ask_server(remote) : NULL;
	json_t *counted = json_array();

	proof_compare(counted, "here", proof->here, here);
	proof_compare(counted, "there", proof->there, there);
	json_decref(here);
	json_decref(there);
	json_decref(proof->here);
	json_decref(proof->there);
	memset(proof, 0, sizeof(*proof));
	return counted;
}
