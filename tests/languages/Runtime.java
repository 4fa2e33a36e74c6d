// Java: threads and locks, a heap under collection, NullPointerException and StackOverflowError by
// SIGSEGV, NIO with mapped files and a selector, child processes, code that is compiled as it runs.
import java.io.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Runtime {
    static class Node {
        Node next;
        int value;
    }

    static int depth;

    static int valueOf(Node node) {
        return node.value;
    }

    static void deeper() {
        depth++;
        deeper();
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes)
            text.append(String.format("%02x", b));
        return text.toString();
    }

    static void faults() {
        int nulls = 0;
        Node node = new Node();
        for (int i = 0; i < 200000; i++) {
            try {
                nulls += valueOf(i % 1000 == 0 ? null : node);
            } catch (NullPointerException e) {
                nulls++;
            }
        }
        int overflows = 0;
        for (int i = 0; i < 3; i++) {
            try {
                deeper();
            } catch (StackOverflowError e) {
                overflows++;
            }
        }
        String divided = "";
        try {
            divided = "" + 1 / (nulls - 200);
        } catch (ArithmeticException e) {
            divided = e.getMessage();
        }
        System.out.println("faults " + nulls + " " + overflows + " " + (depth > 1000) + " " + divided);
    }

    static void threads() throws Exception {
        ConcurrentHashMap<Integer, Long> map = new ConcurrentHashMap<>();
        AtomicLong total = new AtomicLong();
        long[] guarded = new long[1];
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<?>> futures = new ArrayList<>();
        for (int t = 0; t < 16; t++) {
            int first = t * 2000;
            futures.add(pool.submit(() -> {
                for (int i = first; i < first + 2000; i++) {
                    map.put(i, (long) i * i);
                    total.addAndGet(i);
                    synchronized (guarded) {
                        guarded[0] += i;
                    }
                }
            }));
        }
        for (Future<?> future : futures)
            future.get();
        pool.shutdown();
        Thread sleeper = new Thread(() -> {
            try {
                Thread.sleep(60000);
            } catch (InterruptedException e) {
                total.incrementAndGet();
            }
        });
        sleeper.start();
        sleeper.interrupt();
        sleeper.join();
        System.out.println("threads " + map.size() + " " + total.get() + " " + guarded[0]);
    }

    static void heap(int count) {
        List<int[]> kept = new ArrayList<>();
        Random chance = new Random(5);
        long sum = 0;
        for (int i = 0; i < count; i++) {
            int[] piece = new int[200 + chance.nextInt(200)];
            piece[0] = i;
            if (kept.size() < count / 8)
                kept.add(piece);
            else
                kept.set(chance.nextInt(kept.size()), piece);
        }
        System.gc();
        for (int[] piece : kept)
            sum += piece[0] ^ piece.length;
        System.out.println("heap " + kept.size() + " " + sum);
    }

    static void files() throws Exception {
        Path path = Files.createTempFile(Paths.get("."), "java", ".data");
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ,
                                                    StandardOpenOption.WRITE)) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20);
            for (int i = 0; i < 1 << 20; i += 4)
                buffer.putInt(i * 7);
            buffer.flip();
            channel.write(buffer);
            MappedByteBuffer mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, 1 << 20);
            long sum = 0;
            for (int i = 0; i < 1 << 20; i += 4)
                sum += mapped.getInt(i);
            System.out.println("files " + channel.size() + " " + sum);
        }
        Files.delete(path);
    }

    static void selector() throws Exception {
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open();
        server.bind(new InetSocketAddress("127.0.0.1", 0));
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        int port = ((InetSocketAddress) server.getLocalAddress()).getPort();
        final int clients = 6;
        final int each = 300000;
        CompletableFuture<String> digest = new CompletableFuture<>();
        for (int c = 0; c < clients; c++) {
            int number = c;
            new Thread(() -> {
                try (Socket socket = new Socket("127.0.0.1", port)) {
                    byte[] data = new byte[each];
                    Arrays.fill(data, (byte) number);
                    socket.getOutputStream().write(data);
                } catch (IOException e) {
                    digest.completeExceptionally(e);
                }
            }).start();
        }
        int ended = 0;
        long sum = 0;
        long received = 0;
        ByteBuffer buffer = ByteBuffer.allocate(10000);
        while (ended < clients) {
            selector.select();
            Iterator<SelectionKey> keys = selector.selectedKeys().iterator();
            while (keys.hasNext()) {
                SelectionKey key = keys.next();
                keys.remove();
                if (key.isAcceptable()) {
                    SocketChannel accepted = server.accept();
                    accepted.configureBlocking(false);
                    accepted.register(selector, SelectionKey.OP_READ);
                } else {
                    buffer.clear();
                    int count = ((SocketChannel) key.channel()).read(buffer);
                    if (count < 0) {
                        key.channel().close();
                        ended++;
                    }
                    for (int i = 0; i < count; i++)
                        sum += buffer.get(i);
                    received += Math.max(count, 0);
                }
            }
        }
        server.close();
        System.out.println("selector " + received + " " + sum);
    }

    static void compiled() throws Exception {
        int h = 0;
        for (int i = 0; i < 50000000; i++)
            h = h * 31 + (i ^ (h >>> 5));
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        byte[] block = new byte[1 << 16];
        for (int i = 0; i < 100; i++)
            digest.update(block);
        System.out.println("compiled " + h + " " + hex(digest.digest()));
    }

    static void children() throws Exception {
        Process process = new ProcessBuilder("/bin/sh", "-c", "cat; echo more; exit 7").start();
        process.getOutputStream().write("to the child\n".getBytes());
        process.getOutputStream().close();
        String said = new String(process.getInputStream().readAllBytes());
        System.out.println("children " + said.replace('\n', '|') + " " + process.waitFor());
    }

    public static void main(String[] arguments) throws Exception {
        faults();
        threads();
        heap(arguments.length > 0 ? Integer.parseInt(arguments[0]) : 400000);
        files();
        selector();
        compiled();
        children();
    }
}
