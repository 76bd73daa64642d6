// A Java program whose hot methods are compiled while it runs: computes and checks, serves HTTP, throws and catches,
// makes garbage, on several threads.
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

public class Server {
    static final AtomicLong rounds = new AtomicLong();

    interface Shape {
        double area();
    }

    record Square(double side) implements Shape {
        public double area() { return side * side; }
    }

    record Circle(double radius) implements Shape {
        public double area() { return 3 * radius * radius; }
    }

    static byte[] body(int n) {
        byte[] b = new byte[n];
        for (int i = 0; i < n; i++) {
            b[i] = (byte) (n * 31 + i * 7 + i / 251);
        }
        return b;
    }

    static long fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

    static int implicitNull(String text) {
        try {
            return text.length(); // null is found by a fault in compiled code
        } catch (NullPointerException none) {
            return -1;
        }
    }

    static void round() {
        if (fibonacci(18) != 2584) {
            wrong("fibonacci");
        }
        double area = 0;
        for (int i = 0; i < 1000; i++) {
            Shape shape = (i & 1) == 0 ? new Square(i) : new Circle(i);
            area += shape.area();
        }
        if (area != 666166500.0) {
            wrong("area " + area);
        }
        Map<String, Integer> map = new HashMap<>();
        for (int i = 0; i < 500; i++) {
            map.merge("key" + i % 50, i, Integer::sum);
        }
        if (map.get("key7") != 7 * 10 + 50 * 45) {
            wrong("map " + map.get("key7"));
        }
        for (int i = 0; i < 20; i++) {
            if (implicitNull(i % 4 == 0 ? null : "four") != (i % 4 == 0 ? -1 : 4)) {
                wrong("null");
            }
            try {
                int[] few = new int[i];
                few[i] = 1;
                wrong("no bounds");
            } catch (ArrayIndexOutOfBoundsException expected) {
                rounds.addAndGet(0);
            }
            try {
                if (i / (i % 2) < 0) {
                    wrong("divided");
                }
            } catch (ArithmeticException expected) {
                if (i % 2 != 0) {
                    wrong("no division by 0");
                }
            }
        }
        rounds.incrementAndGet();
    }

    static void wrong(String what) {
        System.out.println("WRONG " + what);
        System.out.flush();
        Runtime.getRuntime().halt(1);
    }

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 64);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            byte[] answer = body(Integer.parseInt(exchange.getRequestURI().getPath().substring(1)));
            exchange.sendResponseHeaders(200, answer.length == 0 ? -1 : answer.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(answer);
            } catch (IOException gone) {
                rounds.addAndGet(0);
            }
        });
        server.start();
        for (int i = 0; i < 2; i++) {
            Thread worker = new Thread(() -> {
                while (true) {
                    round();
                    try {
                        Thread.sleep(1);
                    } catch (InterruptedException never) {
                        wrong("interrupted");
                    }
                }
            });
            worker.setDaemon(true);
            worker.start();
        }
        System.out.println("port " + server.getAddress().getPort() + "\nready");
        Thread teller = new Thread(() -> {
            while (true) {
                System.out.println(rounds.get());
                try {
                    Thread.sleep(20);
                } catch (InterruptedException never) {
                    wrong("interrupted");
                }
            }
        });
        teller.setDaemon(true);
        teller.start();
        while (System.in.read() >= 0) {
            rounds.addAndGet(0);
        }
        System.out.println("SOUND " + rounds.get());
        System.out.flush();
        System.exit(0);
    }
}
