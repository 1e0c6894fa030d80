#include "rpc/qrexec/data_reader.h"

namespace bulkhead::qrexec {

namespace {

Stream stream_of(Type type)
{
	switch (type) {
	case Type::DATA_STDOUT: return Stream::OUT;
	case Type::DATA_STDERR: return Stream::ERR;
	default: return Stream::IN;
	}
}

} // namespace

bool Data_reader::_fill(size_t wanted, Bytes &from)
{
	size_t const n = copy_bytes(std::span(_header).subspan(_filled, wanted - _filled), from);
	_filled = static_cast<uint8_t>(_filled + n);
	from = from.subspan(n);
	return _filled == wanted;
}

std::optional<Stream_fault> Data_reader::_check(Header header) const
{
	Type const type = static_cast<Type>(header.type);
	if (_exited) return Stream_fault::NOT_PERMITTED;
	if (_version == 0 && type != Type::HELLO) return Stream_fault::NO_HELLO;
	if (!permitted(_direction, _version, header)) return Stream_fault::NOT_PERMITTED;
	if (type == Type::HELLO)
		return _version == 0 ? std::optional<Stream_fault>() : Stream_fault::SECOND_HELLO;
	bool const over = type != Type::DATA_EXIT_CODE && ended(stream_of(type));
	if (over && (header.size != 0 || _ended_again == ENDS_AGAIN_MAX))
		return Stream_fault::NOT_PERMITTED;
	return {};
}

/* HELLO or exit code, whose number is behind the header. */
Attempt<Data_reader::Event, Stream_fault> Data_reader::_number(Type type)
{
	uint32_t const number = decode_number(std::span(_header).subspan(Header::BYTES));
	_filled = 0;
	if (type == Type::DATA_EXIT_CODE) {
		_exited = true;
		return Event{.kind = Kind::EXIT_CODE, .exit_code = static_cast<int32_t>(number)};
	}
	auto const version = common_version(VERSION, number);
	if (!version) {
		_fault = Stream_fault::OLD_VERSION;
		return *_fault;
	}
	_version = *version;
	return Event{.kind = Kind::HELLO};
}

Attempt<Data_reader::Event, Stream_fault> Data_reader::next(Bytes &from)
{
	if (_fault) return *_fault;
	while (!from.empty()) {
		if (_left)
			return Event{.kind = Kind::BYTES,
				.stream = _stream,
				.bytes = std::min<size_t>(_left, from.size())};
		if (_filled < Header::BYTES) {
			if (_exited) {
				_fault = Stream_fault::NOT_PERMITTED;
				return *_fault;
			}
			if (!_fill(Header::BYTES, from)) break;
			_fault = _check(decode_header(_header));
			if (_fault) return *_fault;
		}
		Header const header = decode_header(_header);
		Type const type = static_cast<Type>(header.type);
		if (type == Type::HELLO || type == Type::DATA_EXIT_CODE) {
			if (!_fill(Header::BYTES + 4, from)) break;
			return _number(type);
		}
		_filled = 0;
		_stream = stream_of(type);
		_left = header.size;
		if (_left) continue;
		if (ended(_stream)) {
			++_ended_again;
			continue;
		}
		_ended |= static_cast<uint8_t>(1U << unsigned(_stream));
		return Event{.kind = Kind::END, .stream = _stream};
	}
	return Event{};
}

void Data_reader::take(size_t bytes)
{
	BULKHEAD_ASSERT(bytes <= _left);
	_left -= static_cast<uint32_t>(bytes);
}

} // namespace bulkhead::qrexec
