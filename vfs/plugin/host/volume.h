#pragma once

// What the nodes of one host directory share, and the nodes themselves.

#include "vfs/entries.h"
#include "vfs/plugin/host/call.h"
#include "vfs/plugin/host/descriptor.h"
#include "vfs/plugin/host/host.h"

#include <compare>

namespace bulkhead::vfs {

class Host_node;

/* Which file of the host something is. A number may be used again, the time of birth tells. */
struct Identity
{
	uint64_t device = 0;
	uint64_t inode = 0;
	int64_t born_ns = 0;

	friend auto operator<=>(Identity const &, Identity const &) = default;
};

/* What the host tells of a file. */
struct Found
{
	Unique_fd fd{};
	Identity identity{};
	Stat stat{};
};

/* A file that has lost a name. */
using Removed = std::optional<Found>;

struct By_identity
{
	static Identity key(Host_node const &);
};

struct In_use; // tag: has a descriptor, the one used last is the last

/*
 * Every node has at most one descriptor (O_PATH), which it may lose when others need it, and finds
 * it again by its name.
 */
class Host_node final : public Node,
						public Sorted_link<Host_node, By_identity>,
						public Link<Host_node, In_use>
{
private:
	friend class Host_volume;

	Ref<class Host_volume> const _volume;
	Identity const _identity;
	Type const _type;
	Ref<Host_node> _parent{}; // none for the root, and for what is removed
	Buffer _name{};
	Ref<Descriptor> _descriptor{};

	Task<Ref<Descriptor>> _find_again(Job &);

	/* The descriptor; ready without waiting if there is one. Errors: NOT_FOUND, TOO_MANY_OPEN. */
	Task<Ref<Descriptor>> _open_descriptor(Job &);

	Attempt<void> _check_writable(std::string_view name) const;

protected:
	void unreferenced() override;

public:
	Host_node(Ref<Host_volume>, Identity const &, Type);
	~Host_node();

	Identity const &identity() const { return _identity; }

	Type type() const override { return _type; }
	void const *instance() const override { return _volume.pointer(); }
	Task<Stat> stat(Job &) override;
	Task<void> change(Job &, Changes const &) override;
	Task<Space> space(Job &) override;
	Task<Ref<File>> open(Job &, Credentials const &, Access) override;
	Task<size_t> read_link(Job &, std::span<char>) override;
	Task<Ref<Node>> lookup(Job &, std::string_view) override;
	Task<Ref<Node>> create(Job &, Credentials const &, std::string_view, New_node const &) override;
	Task<void> link(Job &, std::string_view, Node &) override;
	Task<void> remove(Job &, std::string_view, bool directory) override;
	Task<void> rename(Job &, std::string_view, Node &, std::string_view, Rename) override;
};

class Host_volume final : public Counted
{
private:
	Sorted<Host_node, By_identity> _nodes{};
	List<Host_node, In_use> _in_use{};
	unsigned const _descriptors_max;

protected:
	void unreferenced() override { destroy(allocator, *this); }

public:
	Allocator &allocator;
	Offload &offload;
	Unique_fd const proc; // /proc/self/fd, through which what is open is opened otherwise
	bool const writable;
	unsigned descriptors = 0;

	Host_volume(Allocator &, Offload &, Unique_fd proc_fd, Host_options const &);

	/* The node of a file, with a new descriptor and its latest name. Error: OUT_OF_MEMORY. */
	Attempt<Ref<Host_node>> node_of(Found, Host_node *parent, std::string_view name);

	/* A descriptor to share. Errors: OUT_OF_MEMORY, TOO_MANY_OPEN. */
	Attempt<Ref<Descriptor>> share(Unique_fd);

	/* Has a node know its descriptor and be the one used last. */
	void use(Host_node &, Ref<Descriptor>);
	void use_again(Host_node &node);

	/* Lets descriptors go until there is room for another one. Error: TOO_MANY_OPEN. */
	Attempt<void> make_room();

	/* A file has got another name, or has lost one and stays reachable by its descriptor. */
	void moved(Identity const &, Host_node &parent, std::string_view name);
	void removed(Removed);

	void forget(Host_node &node) { _nodes.remove(node); }

	template <typename FN>
	auto call(Job &job, FN function)
	{
		return call_elsewhere(job, allocator, offload, std::move(function));
	}
};

inline Identity By_identity::key(Host_node const &node) { return node.identity(); }

} // namespace bulkhead::vfs
