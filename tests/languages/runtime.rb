# Ruby: threads and queues, fibers, a heap under collection, forks, pipes, sockets, signals.
require 'digest'
require 'socket'
require 'tempfile'
require 'timeout'

queue = Queue.new
results = Queue.new
workers = 8.times.map do
  Thread.new { while (n = queue.pop) != :end do results << n * n end }
end
2000.times { |n| queue << n }
8.times { queue << :end }
workers.each(&:join)
puts "threads #{results.size} #{results.size.times.sum { results.pop }}"

fibers = Fiber.new { a, b = 0, 1; loop { Fiber.yield a; a, b = b, a + b } }
puts "fibers #{100.times.map { fibers.resume }.last}"

kept = (ARGV[0] || 200000).to_i.times.map { |n| { n => "value #{n}" * 3 } }
GC.start
GC.compact if GC.respond_to?(:compact)
puts "heap #{kept.size} #{Digest::SHA256.hexdigest(kept.map { |h| h.values.first }.join)}"

reader, writer = IO.pipe
pid = fork do
  reader.close
  writer.write('from the child ' * 10000)
  exit! 3
end
writer.close
said = reader.read
Process.wait(pid)
puts "fork #{said.size} #{$?.exitstatus} #{`echo $((6 * 7))`.chomp}"

server = TCPServer.new('127.0.0.1', 0)
echo = Thread.new { 20.times { s = server.accept; s.write(s.read.reverse); s.close } }
answers = 20.times.map do |n|
  s = TCPSocket.new('127.0.0.1', server.addr[1])
  s.write("client #{n}" * 1000)
  s.close_write
  s.read
end
echo.join
puts "sockets #{Digest::MD5.hexdigest(answers.join)}"

caught = Queue.new
trap('USR1') { caught << :usr1 }
Process.kill('USR1', Process.pid)
puts "signal #{caught.pop}"
begin
  Timeout.timeout(0.05) { sleep }
rescue Timeout::Error
  puts 'timeout'
end

Tempfile.create('ruby', '.') do |file|
  file.write('x' * 100_000)
  file.flush
  puts "file #{File.size(file.path)} #{IO.copy_stream(file.path, File::NULL)}"
end

def deeper(n) = deeper(n + 1)
begin
  deeper(0)
rescue SystemStackError => e
  puts e.message
end
