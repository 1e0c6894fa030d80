#include "vfs/plugin/host/volume.h"

namespace bulkhead::vfs {

Host_volume::Host_volume(Allocator &a, Offload &o, Unique_fd proc_fd, Host_options const &options)
	: _descriptors_max(options.open_files),
	  allocator(a),
	  offload(o),
	  proc(std::move(proc_fd)),
	  writable(options.writable)
{}

Attempt<void> Host_volume::make_room()
{
	Host_node *node = _in_use.front();
	while (descriptors >= _descriptors_max) {
		if (!node) return Error::TOO_MANY_OPEN;
		Host_node *const next = _in_use.next(*node);
		// One that a call uses would not be closed now.
		if (node->_descriptor->references() == 1) {
			node->Link<Host_node, In_use>::unlink();
			node->_descriptor.reset();
		}
		node = next;
	}
	return Ok{};
}

Attempt<Ref<Descriptor>> Host_volume::share(Unique_fd fd)
{
	TRY(make_room());
	Descriptor &made =
		TRY(create<Descriptor>(allocator, allocator, offload, descriptors, std::move(fd)));
	return Ref<Descriptor>(made);
}

void Host_volume::use(Host_node &node, Ref<Descriptor> descriptor)
{
	node._descriptor = std::move(descriptor);
	use_again(node);
}

/* What can't be found again by name must keep its descriptor. */
void Host_volume::use_again(Host_node &node)
{
	node.Link<Host_node, In_use>::unlink();
	if (node._parent) _in_use.push_back(node);
}

Attempt<Ref<Host_node>> Host_volume::node_of(Found found, Host_node *parent, std::string_view name)
{
	Host_node *known = _nodes.find(found.identity);
	if (known && known->type() != found.stat.type) return Error::IO;
	Ref<Host_node> node;
	if (known) {
		node = Ref<Host_node>(*known);
	} else {
		Host_node &made = TRY(bulkhead::create<Host_node>(
			allocator, Ref<Host_volume>(*this), found.identity, found.stat.type));
		_nodes.insert(made);
		node = Ref<Host_node>(made);
	}
	if (!node->_descriptor) node->_descriptor = TRY(share(std::move(found.fd)));
	if (parent) moved(found.identity, *parent, name);
	return node;
}

void Host_volume::moved(Identity const &identity, Host_node &parent, std::string_view name)
{
	Host_node *const node = _nodes.find(identity);
	if (!node) return;
	// Others may have moved directories on the host: what we remember of one of them is wrong.
	for (Host_node *above = &parent; above; above = above->_parent.pointer())
		if (above == node) {
			parent.Link<Host_node, In_use>::unlink();
			parent._parent.reset();
			break;
		}
	auto copy = Buffer::copy(allocator, name);
	if (copy.ok() && node != &parent) {
		node->_parent = Ref<Host_node>(parent);
		node->_name = std::move(copy).value();
	} else
		node->_parent.reset();
	if (node->_descriptor) use_again(*node);
}

void Host_volume::removed(Removed removed)
{
	if (!removed) return;
	Host_node *const node = _nodes.find(removed->identity);
	if (!node) return;
	if (!node->_descriptor) {
		auto made =
			create<Descriptor>(allocator, allocator, offload, descriptors, std::move(removed->fd));
		if (made.ok()) node->_descriptor = Ref<Descriptor>(made.value());
	}
	node->Link<Host_node, In_use>::unlink();
	node->_parent.reset();
}

} // namespace bulkhead::vfs
